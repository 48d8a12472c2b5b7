// Interpolation of a fine-tuned model's weights with those of the model it came from (WiSE-FT, Wortsman et al. 2022): a
// trade between the new task and the old ones that needs no training.
import { existsSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { noGrad, scope, type Tensor } from '@promot/torch';
import { UserError } from '../base/errors.js';
import type { Observer } from '../base/events.js';
import type { HubOptions } from '../hub/settings.js';
import type { LoadedModel } from '../models/load.js';
import { saveNewModel } from '../models/save.js';
import { openModel } from '../open/open.js';

export interface InterpolateRequest {
  /** The model before fine-tuning, in any form that `openModel` takes. */
  readonly base: string;
  /** The model after it: a run folder, or any other form. */
  readonly tuned: string;
  /** 0: the base; 1: the tuned model. */
  readonly factor: number;
  /** The Hugging Face folder to make; it must not exist. */
  readonly out: string;
  /** Of the written weights. Default fp32: 16 bits would round small differences between the two models away. */
  readonly precision?: 'fp32' | 'bf16';
  readonly hub?: HubOptions;
  /** Hears of each parameter that is done (`progress`). */
  readonly onEvent?: Observer;
}

export interface Interpolated {
  readonly out: string;
  readonly factor: number;
  /** Numbers in the written model. */
  readonly parameters: number;
}

/**
 * Writes the model (1 - factor) * base + factor * tuned, parameter by parameter, with the base's configuration and
 * tokenizer. Factor 0 gives the base's tensors and factor 1 the tuned model's, bit for bit. Holds two copies of the
 * weights. Errors: a UserError for a factor outside of 0 to 1, a folder that exists, or models of different
 * architecture or shapes. Nothing is left behind where it fails.
 *
 * @example await interpolate({ base: 'google/mt5-small', tuned: 'runs/rte', factor: 0.5, out: 'models/half' });
 */
export async function interpolate(request: InterpolateRequest): Promise<Interpolated> {
  const { base, tuned, factor, out, precision = 'fp32', hub } = request;
  if (!(factor >= 0 && factor <= 1))
    throw new UserError(`factor ${factor}: it goes from 0 (the base) to 1 (the tuned model)`);
  if (existsSync(out)) throw new UserError(`${out} exists already: name a folder that is to be made`);
  const dtype = precision === 'bf16' ? 'bfloat16' : 'float32';
  // Each weight is read, mixed and written once: nothing for a GPU, whose memory may not hold two models.
  const device = 'cpu';
  const opened: LoadedModel[] = [];
  try {
    const onto = await openModel(base, dtype, { device, hub });
    opened.push(onto);
    const from = await openModel(tuned, dtype, { device, hub });
    opened.push(from);
    checkAlike(onto, from, request);
    const total = onto.model.parameters.size;
    let done = 0;
    for (const [name, parameter] of onto.model.parameters) {
      const other = from.model.parameters.get(name)!;
      mixInto(parameter, other, factor);
      other.dispose();
      request.onEvent?.({ type: 'progress', what: 'interpolate', done: ++done, total });
      // Lets Ctrl-C and the progress bar have their turn.
      await setImmediate();
    }
    const sentences = [
      `Each weight is ${1 - factor} times this model's plus ${factor} times that of one fine-tuned from it.`,
    ];
    await saveNewModel(out, onto, { card: { base, done: sentences } });
    return { out, factor, parameters: [...onto.model.parameters.values()].reduce((sum, { numel }) => sum + numel, 0) };
  } finally {
    for (const one of opened) one.dispose();
  }
}

/** parameter <- (1 - factor) * parameter + factor * tuned, computed in float32. */
function mixInto(parameter: Tensor, tuned: Tensor, factor: number): void {
  // The ends without arithmetic: 0 * infinity would spoil them, and -0 would lose its sign.
  if (factor === 0) return;
  noGrad(() =>
    scope(() => {
      if (factor === 1) parameter.copy_(tuned);
      else
        parameter.copy_(
          parameter
            .float()
            .mul(1 - factor)
            .add(tuned.float(), factor),
        );
    }),
  );
}

/** Throws a UserError that names the first difference, where two models cannot be mixed. */
function checkAlike(
  { model: base }: LoadedModel,
  { model: tuned }: LoadedModel,
  names: Pick<InterpolateRequest, 'base' | 'tuned'>,
): void {
  const differ = (what: string, of: string, other: string) =>
    new UserError(
      `${names.tuned} does not come from ${names.base}: ${what} is ${other} in the first, ${of} in the second`,
    );
  for (const key of new Set([...Object.keys(base.architecture), ...Object.keys(tuned.architecture)])) {
    const [of, other] = [base, tuned].map((model) => JSON.stringify(model.architecture[key] ?? null)) as [
      string,
      string,
    ];
    if (of !== other) throw differ(key, of, other);
  }
  const shapeOf = (tensor: Tensor | undefined) => (tensor ? `of shape [${tensor.shape}]` : 'missing');
  for (const name of new Set([...base.parameters.keys(), ...tuned.parameters.keys()])) {
    const [of, other] = [base.parameters, tuned.parameters].map((all) => shapeOf(all.get(name))) as [string, string];
    if (of !== other) throw differ(name, of, other);
  }
}

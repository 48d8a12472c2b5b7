// How much of a task's gradient is format: its cosine with the gradient on shuffled targets (paper, section 3.3,
// Figures 3, 7).
import { setImmediate } from 'node:timers/promises';
import { type Observer, permutation, UserError } from '@promot/core/base';
import type { LanguageModel, LoadedModel, Role, TokenizedExample } from '@promot/core/models';
import { idTensor } from '@promot/core/models';
import { type MicroBatch, sumOfLosses, toMicroBatches } from '@promot/core/train';
import { grad, keep, noGrad, type Parameters, scope, type Tensor, withDevice } from '@promot/torch';

/**
 * Matrices of the last decoder layer, without their biases: all of the MLP's (the paper's "MLP kernel"); query, key and
 * value of self-attention, and of encoder-decoders those of cross-attention, too. The paper does not say which of the
 * two it shows. Where targets are one word of one token, an encoder-decoder's self-attention has a choice only at the
 * end of sequence, of which a shuffle says nothing: in the one run that was looked at, the drop of the cosine showed in
 * cross-attention. `all` is every parameter of the model.
 */
export const parameterGroupNames = [
  'mlp',
  'query',
  'key',
  'value',
  'cross-query',
  'cross-key',
  'cross-value',
  'all',
] as const;
export type ParameterGroup = (typeof parameterGroupNames)[number];

/** The two gradients of a parameter group, side by side. */
export interface Alignment {
  /** -1 to 1; absent where one of the gradients is zero. */
  readonly cosine?: number;
  /** Euclidean norm of the gradient g of the task's loss. */
  readonly norm: number;
  /** Euclidean norm of the format gradient. */
  readonly formatNorm: number;
}

export interface GradientAlignment {
  /** In the order of `parameterGroupNames`; decoder-only models have no cross-attention. */
  readonly groups: Readonly<Partial<Record<ParameterGroup, Alignment>>>;
  /**
   * Share of the examples, 0 to 1, whose target the shuffle left as it was: about a half for two labels. By chance
   * alone it is higher or lower on few examples, and the cosines with it.
   */
  readonly unchanged: number;
}

export interface GradientAlignmentOptions {
  /** The frozen soft prompt [P, E] in front of every input, as in ProMoT's second stage. */
  readonly prompt?: Tensor;
  /** Of the shuffle. */
  readonly seed: number;
  /** Examples in one pass; changes memory and speed, not the result. Default 4. */
  readonly batchSize?: number;
  /** Of the task's loss. Default 0.1, as in training. */
  readonly labelSmoothing?: number;
  readonly signal?: AbortSignal;
  /** Hears of each example (`progress`). */
  readonly onEvent?: Observer;
}

/**
 * Compares, group by group, the gradient g of the mean loss over the examples' target tokens with the format gradient:
 * that of the same inputs with the targets shuffled over all given examples (a seeded permutation), which keeps the
 * task's format and nothing of its content. Both are taken at the model's present weights, without dropout, summed in
 * float32.
 *
 * The paper (section 3.3) shows this for standard fine-tuning on RTE, without a prompt, at step 0 (cosine near 1) and
 * every step on to 400 (near 0.2), on the same batches of inputs for both; the format gradient at step t is taken at
 * the weights that t steps of real training gave. So call it with the model of each checkpoint and equal examples and
 * seed. With `prompt` it asks what the paper argues but does not plot: how much format is left to learn behind a
 * trained prompt.
 *
 * Changes nothing in the model. Memory: two float32 copies of the parameters, beside one pass.
 * Errors: a UserError for fewer than two examples or a model whose layers it does not know; the signal's reason.
 *
 * @example
 * const { groups } = await gradientAlignment(loaded, examples, { seed: 0 });
 * console.log(groups.mlp!.cosine, groups.query!.cosine);
 */
export async function gradientAlignment(
  { model }: LoadedModel,
  examples: readonly TokenizedExample[],
  { prompt, seed, batchSize = 4, labelSmoothing = 0.1, signal, onEvent }: GradientAlignmentOptions,
): Promise<GradientAlignment> {
  if (examples.length < 2)
    throw new UserError('gradient alignment needs two examples or more, to shuffle their targets');
  const groups = parameterGroups(model);
  const order = permutation(examples.length, seed);
  const shuffled = examples.map(({ input }, i) => ({ input, target: examples[order[i]!]!.target }));
  const unchanged = examples.filter(({ target }, i) => String(target) === String(shuffled[i]!.target)).length;

  const gradients: Map<string, Tensor>[] = [];
  let done = 0;
  try {
    for (const set of [examples, shuffled]) {
      const onPass = (count: number) => {
        done += count;
        onEvent?.({ type: 'progress', what: 'gradients', done, total: 2 * examples.length });
      };
      gradients.push(await gradientOf(model, set, { prompt, batchSize, labelSmoothing, signal, onPass }));
    }
    const [task, format] = gradients as [Map<string, Tensor>, Map<string, Tensor>];
    const aligned = [...groups].map(([group, members]) => [group, compareGradients(members, task, format)] as const);
    return { groups: Object.fromEntries(aligned), unchanged: unchanged / examples.length };
  } finally {
    for (const sum of gradients) for (const gradient of sum.values()) gradient.dispose();
  }
}

interface GradientOptions extends Pick<GradientAlignmentOptions, 'prompt' | 'batchSize' | 'labelSmoothing' | 'signal'> {
  /** Hears of each pass, with its number of examples. */
  readonly onPass?: (count: number) => void;
}

/**
 * The gradient of the mean loss over the examples' target tokens in every parameter, without dropout, in float32. The
 * caller disposes the tensors. Changes nothing in the model. Errors: the signal's reason.
 */
export async function gradientOf(
  model: LanguageModel,
  examples: readonly TokenizedExample[],
  { prompt, batchSize = 4, labelSmoothing = 0.1, signal, onPass }: GradientOptions,
): Promise<Map<string, Tensor>> {
  const sum = new Map<string, Tensor>();
  // Nothing but the targets is learned from.
  const plain = examples.map(({ input, target }) => ({ input, target }));
  const targets = plain.reduce((n, { target }) => n + target.length, 0);
  try {
    for (const pass of toMicroBatches(plain, batchSize, prompt)) {
      signal?.throwIfAborted();
      withDevice(model.embedding.device, () => addGradients(sum, model, pass, targets, labelSmoothing));
      onPass?.(pass.examples.length);
      // Lets Ctrl-C and the progress bar have their turn.
      await setImmediate();
    }
    return sum;
  } catch (error) {
    for (const gradient of sum.values()) gradient.dispose();
    throw error;
  }
}

/** A matrix of a group, or the rows of one that the group is. */
interface GroupMember {
  readonly name: string;
  /** First row and number of rows, where a matrix holds several groups. */
  readonly rows?: readonly [start: number, count: number];
}

/**
 * Groups of self-attention and of the feed-forward, by what a matrix computes; cross-attention's begin with `cross-`.
 */
const groupOf = {
  ...({ query: 'query', key: 'key', value: 'value' } as const),
  ...({ gate: 'mlp', up: 'mlp', down: 'mlp' } as const),
} as const satisfies Partial<Record<Role, ParameterGroup>>;

/** The members of each group. Throws UserError where a group of the paper's is missing. */
export function parameterGroups({
  places,
  parameters,
}: Pick<LanguageModel, 'places' | 'parameters'>): Map<ParameterGroup, readonly GroupMember[]> {
  const ofDecoder = [...places].filter(([, { stack, layer }]) => stack === 'decoder' && layer !== undefined);
  const last = Math.max(...ofDecoder.map(([, { layer }]) => layer!));
  const groups = new Map<ParameterGroup, GroupMember[]>();
  for (const [name, { layer, parts, attention }] of ofDecoder) {
    if (layer !== last) continue;
    let start = 0;
    for (const { role, rows } of parts) {
      const of = role in groupOf ? groupOf[role as keyof typeof groupOf] : undefined;
      const group = of !== undefined && of !== 'mlp' && attention === 'cross' ? (`cross-${of}` as const) : of;
      const member = { name: `${name}.weight`, ...(parts.length > 1 && { rows: [start, rows] as const }) };
      if (group) groups.set(group, [...(groups.get(group) ?? []), member]);
      start += rows;
    }
  }
  groups.set(
    'all',
    [...parameters.keys()].map((name) => ({ name })),
  );
  const inOrder = new Map<ParameterGroup, readonly GroupMember[]>();
  for (const group of parameterGroupNames) {
    const members = groups.get(group);
    if (members) inOrder.set(group, members);
    else if (!group.startsWith('cross-')) throw new UserError(`the model has no ${group} matrices that promot knows`);
  }
  return inOrder;
}

/** Cosine and norms of two gradients over these members; a parameter that has none counts as zero. */
export function compareGradients(members: readonly GroupMember[], first: Parameters, second: Parameters): Alignment {
  return noGrad(() => {
    let [dot, firstSquares, secondSquares] = [0, 0, 0];
    for (const { name, rows } of members) {
      scope(() => {
        const of = (gradient: Tensor | undefined) => (gradient && rows ? gradient.narrow(0, ...rows) : gradient);
        const [a, b] = [of(first.get(name)), of(second.get(name))];
        if (a) firstSquares += a.norm().item() ** 2;
        if (b) secondSquares += b.norm().item() ** 2;
        if (a && b) dot += a.mul(b).sum().item();
      });
    }
    const [norm, formatNorm] = [Math.sqrt(firstSquares), Math.sqrt(secondSquares)];
    const product = norm * formatNorm;
    // Rounding may carry the cosine of equal gradients a little past 1.
    return { ...(product > 0 && { cosine: Math.max(-1, Math.min(1, dot / product)) }), norm, formatNorm };
  });
}

/**
 * Adds the gradients of one pass, of its part of the mean loss over `targets` tokens, to the sums, which are kept
 * float32.
 */
function addGradients(
  sums: Map<string, Tensor>,
  model: LanguageModel,
  { examples, prompt }: MicroBatch,
  targets: number,
  labelSmoothing: number,
): void {
  const names = [...model.parameters.keys()];
  const parameters = [...model.parameters.values()];
  const before = parameters.map((parameter) => parameter.requiresGrad);
  try {
    for (const parameter of parameters) parameter.requiresGrad = true;
    scope(() => {
      const logits = model.logits(examples, { prompt });
      const ids = idTensor(examples.flatMap(({ target }) => target));
      const loss = sumOfLosses(logits, ids, { labelSmoothing, zLoss: 0 }).div(targets);
      // Not through `backward`: gradients that the parameters hold already stay as they are.
      const gradients = grad([loss], parameters);
      noGrad(() => {
        for (const [i, gradient] of gradients.entries()) {
          if (!gradient) continue;
          const sum = sums.get(names[i]!);
          if (sum) sum.add_(gradient.float());
          else sums.set(names[i]!, keep(gradient.float()));
        }
      });
    });
  } finally {
    parameters.forEach((parameter, i) => {
      parameter.requiresGrad = before[i]!;
    });
  }
}

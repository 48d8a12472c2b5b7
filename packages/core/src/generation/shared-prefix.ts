// The few-shot prefix that many inputs share, and the soft prompt in front of it, are read once and not with every
// input.
import { noGrad, type Tensor, withDevice } from '@promot/torch';
import type { Ids, LanguageModel, Prefix } from '../models/model.js';

/** Prefixes of fewer places than this are not worth the trouble. */
const leastLength = 16;

/** Inputs that stand behind the same thing. */
export interface InputGroup {
  /** Numbers of the inputs. */
  readonly numbers: readonly number[];
  /** How many tokens of each input the prefix holds: they are left out of the input. */
  readonly skip: number;
  /** For `logits` and `startDecoding`. */
  readonly attach: { readonly prompt?: Tensor; readonly prefix?: Prefix };
}

/**
 * Calls `run` for the inputs that begin with the prefix that saves most, and for the others (with the prompt alone).
 * Works on token ids, so that the tokens are those of the whole texts. The prefix is freed at the end. Tensors are made
 * where the model is.
 */
export function forSharedPrefix(
  model: LanguageModel,
  inputs: readonly Ids[],
  prompt: Tensor | undefined,
  run: (group: InputGroup) => Promise<void>,
): Promise<void> {
  return withDevice(model.embedding.device, () => runGroups(model, inputs, prompt, run));
}

async function runGroups(...[model, inputs, prompt, run]: Parameters<typeof forSharedPrefix>): Promise<void> {
  const { length, sharers } = longestSharing(inputs, prompt?.size(0) ?? 0);
  const prefix =
    sharers.size > 0 ? noGrad(() => model.readPrefix?.(inputs[[...sharers][0]!]!.slice(0, length), prompt)) : undefined;
  const all = inputs.map((_, number) => number);
  const plain = prefix ? all.filter((number) => !sharers.has(number)) : all;
  try {
    if (prefix) await run({ numbers: [...sharers], skip: length, attach: { prefix } });
    if (plain.length > 0) await run({ numbers: plain, skip: 0, attach: { prompt } });
  } finally {
    prefix?.dispose();
  }
}

/**
 * The common beginning that leaves most tokens unread: its length, and which inputs begin with it. Each of them goes on
 * behind it. No sharers where it is not worth the trouble.
 *
 * @param promptRows what stands in front of all inputs anyway.
 */
export function longestSharing(
  inputs: readonly Ids[],
  promptRows: number,
): { length: number; sharers: ReadonlySet<number> } {
  const none = { length: 0, sharers: new Set<number>() };
  let best = none;
  let saved = 0;
  let sharers = inputs.flatMap((input, number) => (input.length > 0 ? [number] : []));
  for (let length = 0; sharers.length > 1; length++) {
    const saving = (promptRows + length) * (sharers.length - 1);
    if (saving > saved && promptRows + length >= leastLength) {
      best = { length, sharers: new Set(sharers) };
      saved = saving;
    }
    const followers = new Map<number, number[]>();
    for (const number of sharers) {
      const input = inputs[number]!;
      if (input.length < length + 2) continue;
      const token = input[length]!;
      const same = followers.get(token);
      if (same) same.push(number);
      else followers.set(token, [number]);
    }
    sharers = [];
    for (const same of followers.values()) if (same.length > sharers.length) sharers = same;
  }
  return best;
}

// k-shot prompts: exemplars from the training split in front of an input, fitted to a model's length limit.

import { UserError } from '../base/errors.js';
import { drawInteger, permutation } from '../base/random.js';
import type { Example } from './task.js';

/**
 * What stands after each exemplar, for all tasks and models. Decoder-only models have seen a blank line between texts;
 * T5's SentencePiece reads any run of white space as one space, so there exemplars follow each other on one line.
 */
export const exemplarSeparator = '\n\n';

/** Exemplars in front of an input: `input target`, separator, ..., `input`. */
export function joinExemplars(exemplars: readonly Pick<Example, 'input' | 'target'>[], input: string): string {
  return exemplars.map((exemplar) => `${exemplar.input} ${exemplar.target}${exemplarSeparator}`).join('') + input;
}

/** Number of tokens that a model reads for a text, special tokens included. */
type CountTokens = (text: string) => number;

/**
 * The input of an example, with its shortenable part cut at the end so that the whole has at most `maxTokens` tokens:
 * the longest beginning that fits, at a word boundary. An input without such a part comes back as it is.
 */
export function cutInput(example: Example, maxTokens: number, countTokens: CountTokens): string {
  const { input, shortenable } = example;
  const length = countTokens(input);
  if (shortenable === undefined || length <= maxTokens) return input;
  const [start, end] = shortenable;
  const withPart = (to: number): string => input.slice(0, to).trimEnd() + input.slice(end);
  // Where words of the part end; the search keeps `low` fitting and `high` not.
  const ends = [...input.slice(start, end).matchAll(/\S+/gu)].map((word) => start + word.index + word[0].length);
  let low = -1;
  let high = ends.length - 1;
  let guess = Math.floor((ends.length * maxTokens) / length); // tokens spread evenly: a few counts suffice
  for (let margin = 4; high - low > 1; margin *= 2) {
    const middle = Math.min(Math.max(guess, low + 1), high - 1);
    const fits = countTokens(withPart(ends[middle]!)) <= maxTokens;
    if (fits) low = middle;
    else high = middle;
    guess = margin < 64 ? middle + (fits ? margin : -margin) : (low + high) >> 1;
  }
  return withPart(low === -1 ? start : ends[low]!);
}

/** Settings of k-shot prompts. */
interface FewShotOptions {
  /** The training split, to draw exemplars from; may be empty for 0 shots. */
  readonly train: readonly Example[];
  /** Number of exemplars, k. */
  readonly shots: number;
  /** Equal seeds give equal exemplars: every method is evaluated with the same. */
  readonly seed: number;
  /** Inputs (each exemplar's too) are cut at this many tokens where the task allows it. */
  readonly maxInputTokens?: number;
  /** The longest prompt that the model takes, in tokens. */
  readonly maxPromptTokens?: number;
  /** Needed with either limit. */
  readonly countTokens?: CountTokens;
}

/** A prompt and what was done to fit it. */
interface FewShotPrompt {
  /** The prompt: `prefix + input`. */
  readonly text: string;
  /** Exemplars and separators; equal for all examples of a task but those that are exemplars themselves or too long. */
  readonly prefix: string;
  /** The example's own input, possibly cut. */
  readonly input: string;
  /** Indices of the exemplars in the training split, in the prompt's order. */
  readonly exemplars: readonly number[];
  /** How many exemplars were left out, last ones first, to fit the limit. */
  readonly dropped: number;
  /** Whether the example's input was cut. */
  readonly cut: boolean;
  /** Whether the prompt is over the limit even without exemplars (its input cannot be cut). */
  readonly overLimit: boolean;
}

/**
 * Makes the k-shot prompts of a task. The exemplars are the first k training examples in an order drawn from the seed;
 * where the evaluated example is one of them (or has the same input), the next in that order takes its place at the
 * end. Errors: a UserError where the training split has too few examples; a RangeError for a limit without
 * `countTokens`.
 */
export function fewShotPrompts(options: FewShotOptions): (example: Example) => FewShotPrompt {
  const { train, shots, seed, countTokens } = options;
  const maxPromptTokens = options.maxPromptTokens ?? Number.POSITIVE_INFINITY;
  const maxInputTokens = Math.min(options.maxInputTokens ?? Number.POSITIVE_INFINITY, maxPromptTokens);
  if (!Number.isInteger(shots) || shots < 0) throw new UserError(`the number of shots must be 0 or more, not ${shots}`);
  if (countTokens === undefined && maxInputTokens !== Number.POSITIVE_INFINITY) {
    throw new RangeError('a token limit needs countTokens');
  }
  // Long texts take milliseconds to count, and the same ones are asked for again and again.
  const counted = new Map<string, number>();
  const count = (text: string): number => {
    const known = counted.get(text) ?? countTokens?.(text) ?? 0;
    if (counted.size > 1000) counted.clear();
    counted.set(text, known);
    return known;
  };
  const order = shots === 0 ? [] : permutation(train.length, seed);
  const cutExemplars = new Map<number, { input: string; target: string }>();
  const exemplar = (index: number): { input: string; target: string } => {
    const known = cutExemplars.get(index);
    if (known !== undefined) return known;
    const example = train[index]!;
    const made = { input: cutInput(example, maxInputTokens, count), target: example.target };
    cutExemplars.set(index, made);
    return made;
  };
  return (example) => {
    const exemplars: number[] = [];
    for (let i = 0; exemplars.length < shots && i < order.length; i++) {
      if (train[order[i]!]!.input !== example.input) exemplars.push(order[i]!);
    }
    if (exemplars.length < shots) {
      throw new UserError(
        `${shots} shots need ${shots} training examples other than the evaluated one; there are ${exemplars.length}`,
      );
    }
    const input = cutInput(example, maxInputTokens, count);
    const inputLength = count(input);
    for (;;) {
      const prefix = joinExemplars(exemplars.map(exemplar), '');
      const text = prefix + input;
      // Tokens of the two parts and of the whole differ by a few at most: only prompts near the limit are counted
      // whole.
      const estimate = count(prefix) + inputLength;
      const overLimit =
        estimate > maxPromptTokens + 8 || (estimate > maxPromptTokens - 8 && count(text) > maxPromptTokens);
      if (!overLimit || exemplars.length === 0) {
        const dropped = shots - exemplars.length;
        return { text, prefix, input, exemplars, dropped, cut: input !== example.input, overLimit };
      }
      exemplars.pop();
    }
  };
}

/**
 * The exemplar in front of one training input ("+1-shot"): uniform over the training split without the example itself
 * (or one of the same input), and a pure function of the seed, the epoch and the example's index.
 * Errors: a UserError where the split has no other example.
 */
export function trainingExemplar(train: readonly Example[], index: number, seed: number, epoch: number): Example {
  const { input } = train[index]!;
  for (let attempt = 0; attempt < 1000 && train.length > 1; attempt++) {
    const candidate = train[drawInteger(train.length, seed, epoch, index, attempt)]!;
    if (candidate.input !== input) return candidate;
  }
  const other = train.find((candidate) => candidate.input !== input);
  if (other === undefined) throw new UserError('a training exemplar needs a second, different training example');
  return other;
}

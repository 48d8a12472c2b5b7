// How likely a model finds each of a few continuations, the same for all inputs, behind every input: the input is read
// once. Shapes: B inputs, C choices, V rows of the vocabulary.
import { noGrad, scope, type Tensor } from '@promot/torch';
import { UserError } from '../base/errors.js';
import type { Decoding, Ids, LanguageModel } from '../models/model.js';
import { idTensor } from '../models/padding.js';
import { breathe, lengthSortedBatches, type RunOptions } from './batches.js';
import { Division } from './division.js';
import { forSharedPrefix } from './shared-prefix.js';

interface ScoreChoicesOptions extends RunOptions {
  /** Soft prompt [P, E], attached to every input. */
  prompt?: Tensor;
  /** Hears of every result as soon as it is there, with its input's number. */
  onResult?: (number: number, logprobs: readonly number[]) => void;
}

/**
 * Bounds the memory of a batch: 16,384 tokens are 0.75 GB of float32 keys and values for a model of 135M parameters.
 */
const largestBatchTokens = 16_384;

/**
 * The log-probability (nats, in float32) of every choice behind every input: C numbers an input. A choice is given by
 * its token ids, the end of sequence included where it counts. Gives what `score` gives, for the price of reading every
 * input once. Throws UserError for an empty choice, and the signal's reason when aborted.
 *
 * @example const [[yes, no]] = await scoreChoices(model, [input], [yesIds, noIds]);
 */
export async function scoreChoices(
  model: LanguageModel,
  inputs: readonly Ids[],
  choices: readonly Ids[],
  { prompt, batchSize, onProgress, onResult, signal }: ScoreChoicesOptions = {},
): Promise<number[][]> {
  if (choices.some((choice) => choice.length === 0)) throw new UserError('a choice to score has no tokens');
  const results: number[][] = [];
  let done = 0;
  const hear = (number: number, logprobs: readonly number[]) => {
    results[number] = [...logprobs];
    onResult?.(number, logprobs);
    onProgress?.(++done, inputs.length);
  };
  const division = new Division<readonly number[]>(model);
  const longest = Math.max(0, ...choices.map((choice) => choice.length));
  await forSharedPrefix(model, inputs, prompt, async ({ numbers, skip, attach }) => {
    const own = numbers.map((number) => inputs[number]!.slice(skip));
    const rows = model.kind === 'decoder-only' ? choices.length : 1;
    const before = attach.prompt?.size(0) ?? 0;
    const batches = lengthSortedBatches(
      own.map((input) => input.length),
      batchSize,
      (batch) => batch.length * (before + own[batch[0]!]!.length + rows * longest) <= largestBatchTokens,
    );
    for (const batch of batches) {
      if (!division.takesNext()) continue;
      await breathe(signal);
      const decoding = noGrad(() =>
        model.startDecoding(
          batch.map((place) => own[place]!),
          attach,
        ),
      );
      try {
        const scored = noGrad(() => scope(() => choiceLogprobs(decoding, decoding.first(), choices)));
        batch.forEach((place, i) => {
          const number = numbers[place]!;
          const logprobs = scored.slice(i * choices.length, (i + 1) * choices.length);
          division.add(number, logprobs);
          hear(number, logprobs);
        });
      } finally {
        decoding.dispose();
      }
    }
  });
  await division.finish(hear);
  return results;
}

/**
 * Log-probabilities of all choices behind all inputs of a batch, input after input: B * C numbers. `first` is what
 * `decoding.first()` gave, [B, V]; the choices' tokens are fed to `decoding`.
 */
export function choiceLogprobs(decoding: Decoding, first: Tensor, choices: readonly Ids[]): number[] {
  const inputs = first.size(0);
  const sums = new Array<number>(inputs * choices.length).fill(0);
  const longest = Math.max(...choices.map((choice) => choice.length));
  // A shorter choice goes on with its first token, and what follows it is not counted.
  const tokensAt = (place: number) =>
    Array.from({ length: inputs }, () => choices.map((choice) => choice[place] ?? choice[0]!)).flat();
  for (let place = 0; place < longest; place++) {
    const found = scope(() => {
      if (place === 0) {
        // All choices begin at the same place: one row an input.
        const starts = idTensor(tokensAt(0)).view(inputs, choices.length);
        return first.float().logSoftmax(1).gather(1, starts).toNumbers();
      }
      const targets = idTensor(tokensAt(place)).unsqueeze(1);
      return decoding
        .next(tokensAt(place - 1))
        .float()
        .logSoftmax(1)
        .gather(1, targets)
        .toNumbers();
    });
    found.forEach((logprob, row) => {
      if (place < choices[row % choices.length]!.length) sums[row]! += logprob;
    });
    if (place === 0 && longest > 1) {
      const rows = sums.map((_, row) => Math.floor(row / choices.length));
      decoding.reorder(
        rows,
        Array.from({ length: inputs }, (_, i) => i),
      );
    }
  }
  return sums;
}

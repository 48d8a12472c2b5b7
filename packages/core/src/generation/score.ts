// How likely a model finds given targets.
// Shapes: N target tokens of a batch, V rows of the vocabulary, P prompt rows, E width.
import { noGrad, scope, type Tensor } from '@promot/torch';
import { UserError } from '../base/errors.js';
import type { LanguageModel, TokenizedExample } from '../models/model.js';
import { idTensor } from '../models/padding.js';
import { breathe, lengthSortedBatches, type RunOptions } from './batches.js';
import { Division } from './division.js';
import { forSharedPrefix, type InputGroup } from './shared-prefix.js';

export interface ScoreOptions extends RunOptions {
  /** Soft prompt [P, E], attached to every input. */
  prompt?: Tensor;
  /** Hears of every result as soon as it is there, with its example's number. */
  onResult?: (number: number, result: Scored) => void;
}

export interface Scored {
  /** Mean negative log-likelihood in nats per target token, not smoothed. */
  readonly loss: number;
  /** Number of target tokens, the end of sequence included. */
  readonly tokens: number;
  /** Log-probability of every target token, in nats. */
  readonly logprobs: readonly number[];
}

/**
 * Bounds the memory of a batch: log-probabilities of all its target tokens over the whole vocabulary (256 MB of
 * float32).
 */
const largestLogits = 64 * 1024 * 1024;
const largestBatchTokens = 16_384;

/**
 * Scores the target of every example, teacher-forced, with log-softmax in float32; the results stand in the examples'
 * order. A beginning that many inputs share is read once. Throws UserError for an example without target tokens, and
 * the signal's reason when aborted.
 */
export async function score(
  model: LanguageModel,
  examples: readonly TokenizedExample[],
  { prompt, batchSize, onProgress, onResult, signal }: ScoreOptions = {},
): Promise<Scored[]> {
  examples.forEach((example, i) => {
    if (example.target.length === 0) throw new UserError(`example ${i + 1} has no target tokens to score`);
  });
  const results: Scored[] = [];
  let done = 0;
  const hear = (number: number, result: Scored) => {
    results[number] = result;
    onResult?.(number, result);
    onProgress?.(++done, examples.length);
  };
  const division = new Division<Scored>(model);
  const inputs = examples.map(({ input }) => input);
  await forSharedPrefix(model, inputs, prompt, async ({ numbers, skip, attach }) => {
    const group = numbers.map((i) => ({ input: examples[i]!.input.slice(skip), target: examples[i]!.target }));
    const before = attach.prompt?.size(0) ?? attach.prefix?.length ?? 0;
    const lengths = group.map(({ input, target }) => before + input.length + target.length);
    const batches = lengthSortedBatches(lengths, batchSize, (batch) => {
      const targets = batch.reduce((sum, i) => sum + group[i]!.target.length, 0);
      return (
        targets * model.shape.vocabularySize <= largestLogits &&
        batch.length * lengths[batch[0]!]! <= largestBatchTokens
      );
    });
    for (const places of batches) {
      if (!division.takesNext()) continue;
      await breathe(signal);
      const batch = places.map((i) => group[i]!);
      const logprobs = targetLogprobs(model, batch, attach);
      let start = 0;
      for (const [i, { target }] of batch.entries()) {
        const own = logprobs.slice(start, start + target.length);
        start += target.length;
        if (own.some(Number.isNaN)) throw new UserError('the model gives logits that are not numbers (NaN)');
        const loss = -own.reduce((sum, x) => sum + x, 0) / own.length;
        const result = { loss, tokens: own.length, logprobs: own };
        const number = numbers[places[i]!]!;
        division.add(number, result);
        hear(number, result);
      }
    }
  });
  await division.finish(hear);
  return results;
}

/** Log-probabilities of all target tokens, example after example: N numbers. */
function targetLogprobs(
  model: LanguageModel,
  batch: readonly TokenizedExample[],
  attach: InputGroup['attach'],
): number[] {
  return noGrad(() =>
    scope(() => {
      const targets = idTensor(batch.flatMap((example) => example.target)).unsqueeze(1);
      return model.logits(batch, attach).float().logSoftmax(1).gather(1, targets).toNumbers();
    }),
  );
}

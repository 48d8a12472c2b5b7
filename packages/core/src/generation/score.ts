// How likely a model finds given targets.
// Shapes: N target tokens of a batch, V rows of the vocabulary, P prompt rows, E width.
import { noGrad, scope, type Tensor, withDevice } from '@promot/torch';
import { UserError } from '../base/errors.js';
import { type LanguageModel, predictedIds, type TokenizedExample } from '../models/model.js';
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
  /** Mean negative log-likelihood in nats per predicted token, not smoothed. */
  readonly loss: number;
  /** Number of predicted tokens: the target's, the end of sequence included, and the answers' before it. */
  readonly tokens: number;
  /** Log-probability of every predicted token, in nats. */
  readonly logprobs: readonly number[];
}

/**
 * Bounds the memory of a batch: log-probabilities of all its target tokens over the whole vocabulary (256 MB of
 * float32).
 */
const largestLogits = 64 * 1024 * 1024;
const largestBatchTokens = 16_384;

/**
 * Scores the target of every example (and its answers), teacher-forced, with log-softmax in float32; the results stand
 * in the examples' order. A beginning that many inputs share is read once. Throws UserError for an example without
 * target tokens, and the signal's reason when aborted.
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
  const run = async ({ numbers, skip, attach }: InputGroup) => {
    const group = numbers.map((i) => ({ ...examples[i]!, input: examples[i]!.input.slice(skip) }));
    const before = attach.prompt?.size(0) ?? attach.prefix?.length ?? 0;
    const lengths = group.map(({ input, target }) => before + input.length + target.length);
    const batches = lengthSortedBatches(lengths, batchSize, (batch) => {
      const targets = batch.reduce((sum, i) => sum + predictedIds(group[i]!).length, 0);
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
      for (const [i, example] of batch.entries()) {
        const { length } = predictedIds(example);
        const own = logprobs.slice(start, start + length);
        start += length;
        if (own.some(Number.isNaN)) throw new UserError('the model gives logits that are not numbers (NaN)');
        const loss = -own.reduce((sum, x) => sum + x, 0) / own.length;
        const result = { loss, tokens: own.length, logprobs: own };
        const number = numbers[places[i]!]!;
        division.add(number, result);
        hear(number, result);
      }
    }
  };
  // What stands before an answer cannot be left out.
  const all = examples.map((_, i) => i);
  const plain = all.filter((i) => !examples[i]!.answers);
  const answered = all.filter((i) => examples[i]!.answers);
  const inputs = plain.map((i) => examples[i]!.input);
  await forSharedPrefix(model, inputs, prompt, (group) =>
    run({ ...group, numbers: group.numbers.map((place) => plain[place]!) }),
  );
  if (answered.length > 0)
    await withDevice(model.embedding.device, () => run({ numbers: answered, skip: 0, attach: { prompt } }));
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
      const targets = idTensor(batch.flatMap(predictedIds)).unsqueeze(1);
      return model.logits(batch, attach).float().logSoftmax(1).gather(1, targets).toNumbers();
    }),
  );
}

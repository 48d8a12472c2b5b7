// Classification by likelihood: which label does the model find most likely, whatever it would say by itself?
import type { Tensor } from '@promot/torch';
import { score } from '../generation/score.js';
import type { LoadedModel } from '../models/load.js';
import { tokenizeExample } from '../models/tokenize.js';
import type { Example } from '../tasks/task.js';

export interface LikelihoodAccuracy {
  /** Percent right when labels are ranked by their log-probability, end of sequence included. */
  readonly raw: number;
  /** The same with log-probabilities divided by the number of tokens: long labels are not at a disadvantage. */
  readonly perToken: number;
}

/** Ranks the labels behind every input. Of equally likely labels the first is taken. */
export async function likelihoodAccuracy(
  { model, tokenizer }: LoadedModel,
  labels: readonly string[],
  examples: readonly Example[],
  options: { prompt?: Tensor; maxInputLength?: number; batchSize?: number; signal?: AbortSignal } = {},
): Promise<LikelihoodAccuracy> {
  const candidates = examples.flatMap(({ input }) =>
    labels.map((target) => tokenizeExample({ input, target }, tokenizer, model.kind, options.maxInputLength)),
  );
  const scored = await score(model, candidates, options);
  const percentRight = (worth: (loss: number, tokens: number) => number) => {
    const right = examples.filter(({ references }, i) => {
      const worths = labels.map((_, j) => {
        const { loss, tokens } = scored[i * labels.length + j]!;
        return worth(loss, tokens);
      });
      return references.includes(labels[worths.indexOf(Math.max(...worths))]!);
    });
    return (100 * right.length) / examples.length;
  };
  return { raw: percentRight((loss, tokens) => -loss * tokens), perToken: percentRight((loss) => -loss) };
}

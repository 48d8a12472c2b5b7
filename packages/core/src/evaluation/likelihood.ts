// Classification by likelihood: the tokens of labels, whose log-probabilities a model is asked for.

import type { Ranking } from '../metrics/label-likelihood.js';
import { chatEnds } from '../models/chat.js';
import type { LoadedModel } from '../models/load.js';
import { joinedTarget, tokenizeTarget } from '../models/tokenize.js';
import type { Example } from '../tasks/task.js';

/** Percent right by each ranking. */
export type LikelihoodAccuracy = Readonly<Record<Ranking, number>>;

/**
 * The tokens of every label as it stands behind an input, what ends it included: the end of sequence, or of rendered
 * conversations the end of a turn.
 */
export function labelTokens(
  labels: readonly string[],
  { tokenizer, model: { kind } }: Pick<LoadedModel, 'tokenizer' | 'model'>,
  examples: readonly Pick<Example, 'chat'>[],
): readonly (readonly number[])[] {
  if (!examples[0]?.chat) return labels.map((label) => tokenizeTarget(joinedTarget(label, kind), tokenizer));
  const ends = chatEnds(examples, tokenizer);
  return labels.map((label) => [...tokenizer.encode(label, { specialTokens: false }), ...ends]);
}

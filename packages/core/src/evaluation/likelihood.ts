// Classification by likelihood: the tokens of labels, whose log-probabilities a model is asked for.

import type { Ranking } from '../metrics/label-likelihood.js';
import type { LanguageModel } from '../models/model.js';
import { joinedTarget, tokenizeTarget } from '../models/tokenize.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';

/** Percent right by each ranking. */
export type LikelihoodAccuracy = Readonly<Record<Ranking, number>>;

/** The tokens of every label as it stands behind an input, the end of sequence included. */
export function labelTokens(
  labels: readonly string[],
  tokenizer: Tokenizer,
  kind: LanguageModel['kind'],
): readonly (readonly number[])[] {
  return labels.map((label) => tokenizeTarget(joinedTarget(label, kind), tokenizer));
}

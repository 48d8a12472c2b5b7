// Classification by likelihood: which label does the model find most likely, whatever it would say by itself?
import type { LanguageModel } from '../models/model.js';
import { joinedTarget, tokenizeTarget } from '../models/tokenize.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';

/** How likely a label is behind an input. */
export interface LabelScore {
  /** Sum of the log-probabilities of its tokens, in nats. */
  readonly logprob: number;
  /** The end of sequence included. */
  readonly tokens: number;
}

/** How labels are ranked: by log-probability, or by log-probability per token, which spares long labels a disadvantage. */
export type Ranking = 'raw' | 'perToken';

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

/** The most likely label; of equally likely ones the first. `scores` stand in the labels' order. */
export function mostLikely(labels: readonly string[], scores: readonly LabelScore[], ranking: Ranking): string {
  const worths = scores.map(({ logprob, tokens }) => (ranking === 'raw' ? logprob : logprob / tokens));
  return labels[worths.indexOf(Math.max(...worths))]!;
}

// Accuracy of classification by likelihood: the label that a model finds most likely, whatever it would say by itself.

import { z } from 'zod';
import { checkDistinct } from './labels.js';
import { type LabelScore, type Metric, oneOf } from './metric.js';

/**
 * How labels are ranked: by log-probability, or by log-probability per token, which spares long labels a disadvantage.
 */
export type Ranking = 'raw' | 'perToken';

const settings = z.strictObject({ ranking: oneOf(['raw', 'perToken']).default('raw') });

/** The most likely label; of equally likely ones the first. `scores` stand in the labels' order. */
export function mostLikely(labels: readonly string[], scores: readonly LabelScore[], ranking: Ranking): string {
  const worths = scores.map(({ logprob, tokens }) => (ranking === 'raw' ? logprob : logprob / tokens));
  return labels[worths.indexOf(Math.max(...worths))]!;
}

export const labelLikelihood: Metric<z.infer<typeof settings>> = {
  name: 'label-likelihood',
  settings,
  needs: 'labels',
  answerTokens: 8,
  checkLabels: checkDistinct,
  compute: (answers, { ranking }, labels) =>
    answers.map((answer) => [answer.references.includes(mostLikely(labels, answer.labels!, ranking)) ? 100 : 0]),
  signature: ({ ranking }) => `accuracy|decide:likelihood|ranking:${ranking}`,
};

// The mean negative log-likelihood of references: a finer measure than scores where those lie near zero.
import { type MetricResult, resultOf } from '../metrics/metric.js';
import type { ReferenceScore } from './answers.js';

/** Mean negative log-likelihood per token as a metric (lower is better), for intervals and comparisons. */
export function nllResult(references: readonly ReferenceScore[]): MetricResult {
  const statistics = references.map(({ logprob, tokens }) => [-logprob, tokens]);
  return resultOf(statistics, { aggregate: (sums) => sums[0]! / sums[1]!, signature: 'nll|nats per token' });
}

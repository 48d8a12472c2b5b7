// The mean negative log-likelihood of references: a finer measure than scores where those lie near zero.
import type { MetricResult } from '../metrics/metric.js';
import type { ReferenceScore } from './answers.js';

/** Mean negative log-likelihood per token as a metric (lower is better), for intervals and comparisons. */
export function nllResult(references: readonly ReferenceScore[]): MetricResult {
  const statistics = references.map(({ logprob, tokens }) => [-logprob, tokens]);
  const scoreOf = (sums: readonly number[]) => sums[0]! / sums[1]!;
  const sums = statistics.reduce((a, b) => [a[0]! + b[0]!, a[1]! + b[1]!], [0, 0]);
  return { score: scoreOf(sums), n: references.length, signature: 'nll|nats per token', statistics, scoreOf };
}

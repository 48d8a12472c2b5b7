// Confidence intervals and significance of differences by bootstrap resampling of the evaluated examples
// (Koehn, "Statistical Significance Tests for Machine Translation Evaluation", EMNLP 2004).

import { RandomStream } from '../base/random.js';
import type { MetricResult } from './metric.js';

/** How to resample. */
interface BootstrapOptions {
  /** Number of resampled sets, 1,000 by default. */
  readonly resamples?: number;
  readonly seed?: number;
  /** Coverage of intervals, 0.95 by default. */
  readonly confidence?: number;
}

/** An interval of scores (or of differences of scores), 0 to 100. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** A percentile of sorted values, linear between neighbours (NumPy's default). */
function percentile(sorted: readonly number[], fraction: number): number {
  const place = fraction * (sorted.length - 1);
  const below = Math.floor(place);
  const low = sorted[below]!;
  return low + (place - below) * ((sorted[below + 1] ?? low) - low);
}

function intervalOf(values: readonly number[], confidence: number): Interval {
  const sorted = [...values].sort((a, b) => a - b);
  const tail = (1 - confidence) / 2;
  return { low: percentile(sorted, tail), high: percentile(sorted, 1 - tail) };
}

/** Scores of the given results on resampled sets of their examples, the same sets for all: one list a result. */
function resampledScores(results: readonly MetricResult[], options: BootstrapOptions): number[][] {
  const { resamples = 1000, seed = 0 } = options;
  if (!Number.isInteger(resamples) || resamples < 1) throw new RangeError(`bad number of resamples: ${resamples}`);
  const random = new RandomStream(seed);
  const n = results[0]!.n;
  const scores: number[][] = results.map(() => []);
  const drawn = new Uint32Array(n);
  for (let resample = 0; resample < resamples; resample++) {
    for (let i = 0; i < n; i++) drawn[i] = random.integer(n);
    for (const [which, result] of results.entries()) {
      const sums = new Array<number>(result.statistics[0]!.length).fill(0);
      for (const index of drawn) {
        const row = result.statistics[index]!;
        for (let column = 0; column < sums.length; column++) sums[column]! += row[column]!;
      }
      scores[which]!.push(result.scoreOf(sums, n));
    }
  }
  return scores;
}

/** The percentile bootstrap interval of a score. */
export function bootstrapInterval(result: MetricResult, options: BootstrapOptions = {}): Interval {
  return intervalOf(resampledScores([result], options)[0]!, options.confidence ?? 0.95);
}

/** The standard error of a score: the standard deviation over resampled sets of its examples. */
export function bootstrapError(result: MetricResult, options: BootstrapOptions = {}): number {
  const scores = resampledScores([result], options)[0]!;
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  return Math.sqrt(scores.reduce((sum, score) => sum + (score - mean) ** 2, 0) / scores.length);
}

/** Two systems on the same examples. */
export interface PairedComparison extends Interval {
  /** Score of the second less that of the first; `low` and `high` are its interval. */
  readonly difference: number;
  /** Two-sided: how often chance alone gives a difference at least as large. Never 0: (hits + 1) / (resamples + 1). */
  readonly pValue: number;
}

/**
 * Paired bootstrap test of the difference between two systems scored on the same examples in the same order. As in
 * sacreBLEU, the resampled differences are centred on their mean to stand for the null hypothesis.
 * Errors: a RangeError where the numbers of examples or the signatures differ.
 */
export function pairedBootstrap(
  first: MetricResult,
  second: MetricResult,
  options: BootstrapOptions = {},
): PairedComparison {
  if (first.n !== second.n) throw new RangeError(`cannot pair ${first.n} examples with ${second.n}`);
  if (first.signature !== second.signature) {
    throw new RangeError(`cannot compare "${first.signature}" with "${second.signature}"`);
  }
  const [before, after] = resampledScores([first, second], options) as [number[], number[]];
  const differences = after.map((score, i) => score - before[i]!);
  const difference = second.score - first.score;
  const mean = differences.reduce((sum, value) => sum + value, 0) / differences.length;
  const hits = differences.filter((value) => Math.abs(value - mean) >= Math.abs(difference)).length;
  return {
    difference,
    pValue: (hits + 1) / (differences.length + 1),
    ...intervalOf(differences, options.confidence ?? 0.95),
  };
}

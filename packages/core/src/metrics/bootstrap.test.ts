import { describe, expect, test } from 'vitest';
import { RandomStream } from '../base/random.js';
import { bootstrapInterval, pairedBootstrap } from './bootstrap.js';
import { computeMetric } from './index.js';
import { type MetricResult, resultOf } from './metric.js';
import { normalizedAverage } from './normalized-average.js';

const meanResult = (scores: readonly number[], signature: string): MetricResult =>
  resultOf(
    scores.map((score) => [score]),
    { signature },
  );

/** Accuracy results whose examples are right with the given probability. */
function coin(n: number, probability: number, seed: number): number[] {
  const random = new RandomStream(seed);
  return Array.from({ length: n }, () => (random.integer(1000) < probability * 1000 ? 100 : 0));
}

describe('bootstrapInterval', () => {
  test('is seeded and agrees with the normal approximation of a proportion', () => {
    const result = meanResult(coin(400, 0.7, 1), 'x');
    const interval = bootstrapInterval(result, { seed: 5 });
    expect(bootstrapInterval(result, { seed: 5 })).toEqual(interval);
    expect(bootstrapInterval(result, { seed: 6 })).not.toEqual(interval);
    const margin = 1.96 * Math.sqrt((result.score * (100 - result.score)) / 400);
    expect(Math.abs(interval.low - (result.score - margin))).toBeLessThan(0.7);
    expect(Math.abs(interval.high - (result.score + margin))).toBeLessThan(0.7);
    const wider = bootstrapInterval(result, { seed: 5, confidence: 0.99 });
    expect(wider.high - wider.low).toBeGreaterThan(interval.high - interval.low);
  });

  test('covers the true value about as often as it says', () => {
    let covered = 0;
    for (let trial = 0; trial < 200; trial++) {
      const { low, high } = bootstrapInterval(meanResult(coin(100, 0.5, 1000 + trial), 'x'), {
        resamples: 200,
        seed: trial,
      });
      if (low <= 50 && 50 <= high) covered++;
    }
    expect(covered).toBeGreaterThan(176);
    expect(covered).toBeLessThan(200);
  });

  test('BLEU: each resample is the corpus BLEU of the drawn sentences', () => {
    const predictions = ['the cat sat on the mat', 'a dog ran over the long road', 'it was all yellow in the end'];
    const references = [['the cat sat on a mat'], ['a dog ran over the long road'], ['all was yellow in the very end']];
    const result = computeMetric('bleu', predictions, references);
    const random = new RandomStream(9);
    const drawn = predictions.map(() => random.integer(3));
    const drawnScore = computeMetric(
      'bleu',
      drawn.map((i) => predictions[i]!),
      drawn.map((i) => references[i]!),
    ).score;
    const interval = bootstrapInterval(result, { resamples: 1, seed: 9 });
    expect(interval.low).toBeCloseTo(drawnScore, 9);
    expect(interval.high).toBeCloseTo(drawnScore, 9);
  });
});

describe('pairedBootstrap', () => {
  test('a clear difference is significant, none is not', () => {
    const base = coin(500, 0.5, 1);
    const better = base.map((score, i) => (i % 10 === 0 ? 100 : score));
    const clear = pairedBootstrap(meanResult(base, 'x'), meanResult(better, 'x'));
    expect(clear.difference).toBeGreaterThan(0);
    expect(clear.low).toBeGreaterThan(0);
    expect(clear.pValue).toBeLessThan(0.01);
    const same = pairedBootstrap(meanResult(base, 'x'), meanResult(base, 'x'));
    expect(same).toEqual({ difference: 0, low: 0, high: 0, pValue: 1 });
  });

  test('false alarms are about as rare as promised', () => {
    let alarms = 0;
    for (let trial = 0; trial < 200; trial++) {
      const pair = [coin(100, 0.5, 2 * trial), coin(100, 0.5, 2 * trial + 1)].map((scores) => meanResult(scores, 'x'));
      if (pairedBootstrap(pair[0]!, pair[1]!, { resamples: 200, seed: trial }).pValue < 0.05) alarms++;
    }
    expect(alarms).toBeGreaterThan(1);
    expect(alarms).toBeLessThan(24);
  });

  test('what cannot be paired is refused', () => {
    expect(() => pairedBootstrap(meanResult([1], 'x'), meanResult([1, 2], 'x'))).toThrow(
      'cannot pair 1 examples with 2',
    );
    expect(() => pairedBootstrap(meanResult([1], 'x'), meanResult([1], 'y'))).toThrow('cannot compare');
    expect(() => bootstrapInterval(meanResult([1], 'x'), { resamples: 0 })).toThrow(RangeError);
  });
});

test('normalizedAverage', () => {
  expect(normalizedAverage([50, 0, 100, 10])).toBe(40);
  expect(() => normalizedAverage([])).toThrow(RangeError);
  expect(() => normalizedAverage([101])).toThrow(RangeError);
  expect(() => normalizedAverage([Number.NaN])).toThrow(RangeError);
});

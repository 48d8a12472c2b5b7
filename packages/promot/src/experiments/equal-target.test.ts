// The comparison at equal target score, by hand and on random runs.

import { RandomStream } from '@promot/core/base';
import { expect, test } from 'vitest';
import { firstToReach, reachedByAll } from './equal-target.js';

const run = (...scores: number[]): { step: number; score?: number }[] => [
  { step: 0 },
  ...scores.map((score, i) => ({ step: i + 1, score })),
];

test('the least of the best; there each run is taken at its first checkpoint', () => {
  const runs = [run(50, 80, 95), run(90, 60), run(70, 92, 91)];
  expect(reachedByAll(runs)).toBe(90);
  expect(runs.map((one) => firstToReach(one, 90))).toEqual([
    { step: 3, score: 95 },
    { step: 1, score: 90 },
    { step: 2, score: 92 },
  ]);
  expect(firstToReach(runs[1]!, 91)).toBeUndefined();
});

test('runs without a score are refused', () => {
  expect(() => reachedByAll([run(50), run()])).toThrow('no score that all runs reach');
  expect(() => reachedByAll([])).toThrow('no score that all runs reach');
});

test.each(Array.from({ length: 20 }, (_, seed) => seed))('every run reaches it, one reaches no more: %d', (seed) => {
  const random = new RandomStream(seed);
  const all = Array.from({ length: 1 + random.integer(4) }, () =>
    Array.from({ length: 1 + random.integer(5) }, () => random.integer(100)),
  );
  const score = reachedByAll(all.map((list) => run(...list)));
  expect(all.every((list) => firstToReach(run(...list), score) !== undefined)).toBe(true);
  expect(all.some((list) => Math.max(...list) === score)).toBe(true);
});

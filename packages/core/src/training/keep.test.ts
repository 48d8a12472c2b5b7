// The rule for the best checkpoint.
import { describe, expect, test } from 'vitest';
import { bestOf, keeps } from './keep.js';

const candidates = [
  { step: 1, score: 60, evalLoss: 1, keepAverage: 50 },
  { step: 2, score: 70, evalLoss: 1, keepAverage: 48 },
  { step: 3, score: 70, evalLoss: 1, keepAverage: 47 },
  { step: 4, score: 90, evalLoss: 1, keepAverage: 20 },
];
const rule = (tolerance: number) => ({ before: 50, tolerance });

describe('the best checkpoint', () => {
  test('without a tolerance has the highest score, of equals the later', () => {
    expect(bestOf(candidates).step).toBe(4);
    expect(bestOf(candidates.slice(0, 3)).step).toBe(3);
  });

  test('with one, the highest score among those that keep enough', () => {
    expect(bestOf(candidates, rule(30)).step).toBe(4);
    expect(bestOf(candidates, rule(29.9)).step).toBe(3);
    expect(bestOf(candidates, rule(2)).step).toBe(2);
    expect(bestOf(candidates, rule(0)).step).toBe(1);
    expect(keeps(candidates[2]!, rule(2))).toBe(false);
  });

  test('where none keeps enough, the one that lost least, whatever its score', () => {
    const lossy = candidates.slice(2).reverse();
    expect(bestOf(lossy, rule(1)).step).toBe(3);
    expect(keeps(bestOf(lossy, rule(1)), rule(1))).toBe(false);
  });

  test('is the best so far or a later one: what was pruned is never wanted again', () => {
    for (const tolerance of [0, 1, 2, 3, 40])
      for (let n = 1; n < candidates.length; n++) {
        const [before, after] = [n, n + 1].map((k) => bestOf(candidates.slice(0, k), rule(tolerance)).step);
        expect([before, candidates[n]!.step]).toContain(after);
      }
  });
});

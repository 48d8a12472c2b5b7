// The rule for the best checkpoint.
import { describe, expect, test } from 'vitest';
import { bestOf, type ChoiceRule, keeps, mayBeBest, standsStill } from './choose.js';
import { type KeepScore, warningsOf } from './keep.js';

const candidates = [
  { step: 1, score: 60, evalLoss: 1, keepAverage: 50 },
  { step: 2, score: 70, evalLoss: 1, keepAverage: 48 },
  { step: 3, score: 70, evalLoss: 1, keepAverage: 47 },
  { step: 4, score: 90, evalLoss: 1, keepAverage: 20 },
];
const limit = (tolerance: number) => ({ before: 50, tolerance });
const highest: ChoiceRule = { choose: 'highest-score' };
const rule = (tolerance: number): ChoiceRule => ({ ...highest, keep: limit(tolerance) });

describe('the best checkpoint', () => {
  test('without a tolerance has the highest score, of equals the later', () => {
    expect(bestOf(candidates, highest).step).toBe(4);
    expect(bestOf(candidates.slice(0, 3), highest).step).toBe(3);
  });

  test('with one, the highest score among those that keep enough', () => {
    expect(bestOf(candidates, rule(30)).step).toBe(4);
    expect(bestOf(candidates, rule(29.9)).step).toBe(3);
    expect(bestOf(candidates, rule(2)).step).toBe(2);
    expect(bestOf(candidates, rule(0)).step).toBe(1);
    expect(keeps(candidates[2]!, limit(2))).toBe(false);
  });

  test('where none keeps enough, the one that lost least, whatever its score', () => {
    const lossy = candidates.slice(2).reverse();
    expect(bestOf(lossy, rule(1)).step).toBe(3);
    expect(keeps(bestOf(lossy, rule(1)), limit(1))).toBe(false);
  });

  test('is the best so far or a later one: what was pruned is never wanted again', () => {
    for (const tolerance of [0, 1, 2, 3, 40])
      for (let n = 1; n < candidates.length; n++) {
        const [before, after] = [n, n + 1].map((k) => bestOf(candidates.slice(0, k), rule(tolerance)).step);
        expect([before, candidates[n]!.step]).toContain(after);
      }
  });
});

describe('within one standard error of the highest score', () => {
  const near: ChoiceRule = { choose: 'one-standard-error' };
  // Twenty examples: a standard error of some 11 points.
  const noisy = [
    { step: 1, score: 30, scoreError: 10, evalLoss: 0.2 },
    { step: 2, score: 45, scoreError: 11, evalLoss: 0.38 },
    { step: 3, score: 50, scoreError: 11, evalLoss: 0.9 },
  ];

  test('the lowest validation loss wins', () => {
    expect(bestOf(noisy, near).step).toBe(2);
    expect(bestOf(noisy, highest).step).toBe(3);
    // Many examples: 5 points are no chance.
    expect(
      bestOf(
        noisy.map((one) => ({ ...one, scoreError: 2 })),
        near,
      ).step,
    ).toBe(3);
  });

  test('the keep list comes first; runs that know no standard error take the highest score', () => {
    const kept = noisy.map((one) => ({ ...one, keepAverage: one.step === 2 ? 10 : 50 }));
    expect(bestOf(kept, { ...near, keep: limit(1) }).step).toBe(3);
    expect(bestOf(candidates, near).step).toBe(4);
  });

  test('of any longer list the best is one that was said to stay, or later', () => {
    const random = (seed: number) => Math.abs(Math.sin(seed * 12.9898) * 43758.5453) % 1;
    for (let run = 0; run < 200; run++) {
      const drawn = Array.from({ length: 12 }, (_, i) => ({
        step: i + 1,
        score: Math.round(20 * random(run * 40 + i)),
        scoreError: 4,
        evalLoss: Math.round(10 * random(run * 40 + i + 20)),
      }));
      let staying = new Set<number>();
      for (let n = 1; n <= drawn.length; n++) {
        const seen = drawn.slice(0, n);
        staying.add(n);
        expect(staying).toContain(bestOf(seen, near).step);
        staying = new Set(
          mayBeBest(seen, near)
            .map(({ step }) => step)
            .filter((step) => staying.has(step)),
        );
      }
    }
  });
});

test('validation stands still where neither loss nor score makes progress in so many evaluations', () => {
  const losses = (...all: number[]) => all.map((evalLoss, i) => ({ step: i + 1, score: 0, evalLoss }));
  expect(standsStill(losses(0.82, 0.81, 0.8, 0.795), 1)).toBe('still');
  expect(standsStill(losses(0.82, 0.81, 0.8, 0.79), 1)).toBeUndefined();
  expect(standsStill(losses(1, 0.8, 0.9, 0.7), 2)).toBeUndefined();
  expect(standsStill(losses(1, 0.8, 0.9, 0.85), 2)).toBe('still');
  expect(standsStill(losses(1, 2), 2)).toBeUndefined();
  expect(standsStill(losses(1, 2, 3, 4), 0)).toBeUndefined();
  // Most of the learning curve is behind.
  expect(standsStill(losses(2, 1, 0.5, 0.44), 1)).toBe('still');
  expect(standsStill(losses(2, 1, 0.5, 0.42), 1)).toBeUndefined();
  // Half of next to nothing is nothing.
  expect(standsStill(losses(0.01, 0.003, 0.0015), 1)).toBe('still');
  const scored = (...all: [number, number][]) =>
    all.map(([score, evalLoss], i) => ({ step: i + 1, score, evalLoss, scoreError: 4 }));
  expect(standsStill(scored([50, 1], [60, 1]), 1)).toBeUndefined();
  expect(standsStill(scored([50, 1], [57, 1]), 1)).toBe('still');
});

test('validation stands still where all is right', () => {
  const scores = (...all: number[]) => all.map((score, i) => ({ step: i + 1, score, evalLoss: 1 / (i + 1) }));
  expect(standsStill(scores(100, 100), 2)).toBe('perfect');
  expect(standsStill(scores(100, 99, 100, 100), 2)).toBe('perfect');
  expect(standsStill(scores(100, 100, 99), 2)).toBeUndefined();
  expect(standsStill(scores(100), 2)).toBeUndefined();
  expect(standsStill(scores(100, 100), 0)).toBeUndefined();
});

test('the keep list warns of a form that leaks and of references that have become less likely', () => {
  const interval = { low: 0, high: 0 };
  const of = (formShare: number | undefined, nll: number): KeepScore => ({
    task: 'qa',
    metric: 'exact-match',
    score: 1,
    interval,
    nll,
    nllInterval: interval,
    ...(formShare !== undefined && { formShare }),
  });
  const warned = (before: KeepScore, now: KeepScore) => warningsOf([before], [now]);
  expect(warned(of(2, 1), of(11.9, 1.09))).toEqual([]);
  expect(warned(of(2, 1), of(12, 1))).toEqual(["qa: 12 % of the answers have the target's form (before: 2 %)"]);
  expect(warned(of(undefined, 1), of(undefined, 1.25))).toEqual([
    'qa: its references cost 1.25 nats a token (before: 1.00)',
  ]);
  expect(warned(of(50, 2), of(0, 1))).toEqual([]);
  expect(warningsOf([], [of(100, 9)])).toEqual([]);
});

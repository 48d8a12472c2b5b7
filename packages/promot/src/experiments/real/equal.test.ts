// What is kept at equal target score, against numbers worked out by hand; the sentences that are made of it.
import { RandomStream } from '@promot/core/base';
import { expect, test } from 'vitest';
import {
  atScore,
  bestOfMethods,
  countedTasks,
  coursesOf,
  crossingAt,
  differenceOf,
  scoreToCompareAt,
  valueAt,
} from './equal.js';
import type { Look } from './looks.js';
import { compare, equalTable, frontFigure, realReport } from './report.js';

const look = (
  method: string,
  rate: number,
  step: number,
  target: number,
  kept: number,
  more: Partial<Look> = {},
): Look => ({
  arm: `${method}-${rate}`,
  method,
  series: method === 'before' ? method : `${method}, rate ${rate}`,
  rate,
  seed: 0,
  step,
  target,
  kept: { 'arc-easy': kept, piqa: 70, 'lambada-openai': 1 },
  ...more,
});
const before = look('before', 0, 0, 0, 60);

test('a task counts where the model before training is more than two points above chance', () => {
  expect(countedTasks({ kept: { 'arc-easy': 27.1, piqa: 52, 'lambada-openai': 2, winogrande: 53 } })).toEqual([
    'arc-easy',
    'winogrande',
  ]);
});

test('between two looks a measure lies on the line between them, from the model before training on', () => {
  const [course] = coursesOf([before, look('ProMoT', 1, 20, 40, 50), look('ProMoT', 1, 40, 60, 30)]);
  const at = (score: number) => valueAt(crossingAt(course!.seeds[0]!, score)!, 'arc-easy');
  expect(at(20)).toBe(55);
  expect(at(55)).toBe(35);
  expect(at(60)).toBe(30);
  expect(crossingAt(course!.seeds[0]!, 61)).toBeUndefined();
});

test('methods are compared where fine-tuning and ProMoT both arrive, whatever others reach', () => {
  const looks = [
    before,
    look('fine-tuning', 1, 20, 80, 20),
    look('fine-tuning', 2, 20, 50, 50),
    look('ProMoT', 1, 20, 70, 55),
    look('LoRA', 1, 20, 30, 40),
  ];
  const courses = coursesOf(looks);
  expect(scoreToCompareAt(courses)).toBe(70);
  expect(scoreToCompareAt(coursesOf([before, looks[4]!]))).toBe(30);
  const found = atScore(courses, 70, ['arc-easy']);
  expect(found.map(({ course }) => course.series)).toEqual(['fine-tuning, rate 1', 'ProMoT, rate 1']);
  expect(found.map(({ kept }) => kept)).toEqual([25, 55]);
});

test('of each method the arm that keeps most is taken', () => {
  const courses = coursesOf([
    before,
    look('fine-tuning', 1, 20, 80, 20),
    look('fine-tuning', 2, 20, 80, 50),
    look('ProMoT', 1, 20, 80, 55),
  ]);
  const best = bestOfMethods(atScore(courses, 80, ['arc-easy']), ['arc-easy']);
  expect(best.map(({ course }) => course.series)).toEqual(['fine-tuning, rate 2', 'ProMoT, rate 1']);
});

/** Answers that are right with a probability. */
const answers = (n: number, probability: number, seed: number) => {
  const random = new RandomStream(seed);
  return Array.from({ length: n }, () => (random.next() / 2 ** 32 < probability ? 100 : 0));
};
const answered = (examples: number[], seed = 0) => {
  const value = examples.reduce((sum: number, one) => sum + one, 0) / examples.length;
  const one = look('ProMoT', 1, 20, 80, value, { seed, examples: { 'arc-easy': examples } });
  return { from: one, to: one, part: 1 };
};

test('the bootstrap: no difference between equals; a width near that of the formula; seeds widen it', () => {
  const one = answered(answers(400, 0.6, 1));
  expect(differenceOf([one], [one], ['arc-easy'])).toEqual({ value: 0, low: 0, high: 0 });
  const other = answered(answers(400, 0.5, 2));
  const found = differenceOf([one], [other], ['arc-easy'])!;
  expect(found.value).toBeCloseTo(one.to.kept['arc-easy']! - other.to.kept['arc-easy']!, 6);
  // Independent answers: the standard error of a difference of two shares.
  const error = 100 * Math.sqrt((0.6 * 0.4 + 0.5 * 0.5) / 400);
  expect((found.high - found.low) / (2 * 1.96 * error)).toBeGreaterThan(0.85);
  expect((found.high - found.low) / (2 * 1.96 * error)).toBeLessThan(1.15);
  const apart = [answered(answers(400, 0.9, 3)), answered(answers(400, 0.3, 4), 1)];
  const spread = differenceOf(apart, [other], ['arc-easy'])!;
  expect(spread.high - spread.low).toBeGreaterThan(40);
});

test('there is no interval where a look has no examples', () => {
  const bare = look('ProMoT', 1, 20, 80, 50);
  expect(differenceOf([{ from: bare, to: bare, part: 1 }], [answered([100, 0])], ['arc-easy'])).toBeUndefined();
});

test('the report says who keeps more, who as much, and whether anything is needed', () => {
  const looks = [
    before,
    look('fine-tuning', 1e-5, 20, 80, 20),
    look('fine-tuning', 3e-6, 20, 80, 50),
    look('ProMoT', 1e-5, 20, 80, 59),
    look('EAFT', 1e-5, 20, 80, 59.5),
    look('LoRA', 2e-4, 20, 80, 30),
  ];
  const { headline, summary, sections } = realReport({ target: 'snli', looks, facts: [] });
  expect(headline).toBe(
    'At 80.0 on snli ProMoT (rate 0.00001) keeps 64.5 of 65.0 percent right, fine-tuning 60.0 at its best rate (rate 0.000003): ' +
      "4.5 points (no interval: the looks have no examples); at ProMoT's own rate fine-tuning keeps 45.0.",
  );
  expect(summary[0]).toBe(
    'Of the other methods, each at its best strength, less than ProMoT keep LoRA, rate 0.0002 (50.0); ' +
      'as much as ProMoT keep EAFT, rate 0.00001 (64.8).',
  );
  expect(summary[1]).toMatch(/^Even at its best rate fine-tuning loses 5.0 points/u);
  expect(sections.map(({ heading }) => heading)).toEqual([
    'Gained and kept',
    'Kept at equal target score',
    'All looks',
  ]);
});

test('few arms: one method, or the model before training alone', () => {
  expect(compare([before])).toBeUndefined();
  expect(realReport({ target: 'snli', looks: [before], facts: [] }).sections).toHaveLength(2);
  const looks = [before, look('ProMoT', 1, 20, 80, 59)];
  expect(equalTable(compare(looks)!).rows.map(({ name }) => name)).toEqual(['before', 'ProMoT, rate 1 *']);
});

test('many arms share a series by their method, so that they can be told apart', () => {
  const many = Array.from({ length: 12 }, (_, i) => look(i < 6 ? 'EAFT' : 'replay', i, 20, 40 + i, 60 - i));
  expect(frontFigure([before, ...many], 'snli').series.map(({ name }) => name)).toEqual(['before', 'EAFT', 'replay']);
  expect(frontFigure([before, many[0]!], 'snli').series.map(({ name }) => name)).toEqual(['before', 'EAFT, rate 0']);
});

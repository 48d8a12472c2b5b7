// What is kept at equal target score, against numbers worked out by hand; the sentences that are made of it.
import { RandomStream } from '@promot/core/base';
import { expect, test } from 'vitest';
import { strengthText } from './arms.js';
import {
  atScore,
  bestOfMethods,
  countedTasks,
  coursesOf,
  crossingAt,
  differenceOf,
  highestScore,
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
  series: method === 'before' ? method : `${method}, ${strengthText('rate', rate)}`,
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
  expect(highestScore(courses)).toBe(70);
  expect(highestScore(coursesOf([before, looks[4]!]))).toBe(30);
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

// Nine tenths of the way from 0 to 80; the mean is of ARC-easy and PIQA.
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
    'At 72.0 on snli ProMoT (rate 1e-5) keeps 64.5 of 65.0 percent right, fine-tuning 60.5 at its best rate (rate ' +
      "3e-6): 4.0 points (no interval: the looks have no examples); at ProMoT's own rate fine-tuning keeps 47.0.",
  );
  expect(summary[0]).toBe(
    'Of the other methods, each at its best strength, less than ProMoT keep LoRA, rate 2e-4 (51.5); ' +
      'as much as ProMoT keep EAFT, rate 1e-5 (64.8).',
  );
  expect(summary[1]).toMatch(/^Even at its best rate fine-tuning loses 4.5 points/u);
  expect(sections.map(({ heading }) => heading)).toEqual([
    'Gained and kept',
    'Kept at equal target score',
    'Kept at other scores',
    'All looks',
  ]);
});

test('few arms: one method, or the model before training alone', () => {
  expect(compare([before])).toBeUndefined();
  expect(compare([before, look('ProMoT', 1, 20, 0, 59)])).toBeUndefined();
  expect(realReport({ target: 'snli', looks: [before], facts: [] }).sections).toHaveLength(2);
  const prompt = look('prompt tuning', 0.1, 100, 40, 0, { kept: {} });
  expect(frontFigure([before, prompt], 'snli').series[1]!.points[0]).toMatchObject({ x: 40, y: 65 });
  const looks = [before, look('ProMoT', 1, 20, 80, 59)];
  expect(equalTable(compare(looks)!).rows.map(({ name }) => name)).toEqual(['before', 'ProMoT, rate 1 *']);
});

test('a model near chance on everything is reported, without a comparison', () => {
  const kept = { 'arc-easy': 25, piqa: 50, 'lambada-openai': 0 };
  const { sections, summary } = realReport({
    target: 'snli',
    looks: [before, look('ProMoT', 1, 20, 80, 20)].map((one) => ({ ...one, kept })),
    facts: [],
  });
  expect(sections.map(({ heading }) => heading)).toEqual(['Gained and kept', 'All looks']);
  expect(sections[0]!.figure!.series[0]!.points).toEqual([{ x: 0, y: 25 }]);
  expect(summary.at(-1)).toMatch(/none does/u);
});

test('the figure has a series a method; only points of the front have words', () => {
  const looks = [before, look('EAFT', 1, 20, 40, 50), look('EAFT', 2, 20, 60, 40), look('replay', 0.1, 20, 50, 30)];
  const { series, front } = frontFigure(looks, 'snli');
  expect(series.map(({ name, points }) => `${name} ${points.map(({ label }) => label ?? '-').join('; ')}`)).toEqual([
    'before -',
    'EAFT rate 1, step 20; rate 2, step 20',
    'replay -',
  ]);
  expect(front!.map(({ x }) => x)).toEqual([0, 40, 60]);
});

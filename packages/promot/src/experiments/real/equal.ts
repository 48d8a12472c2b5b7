// What is kept where models are equally good at the target: looks along a training, read between their neighbours, and
// the paired bootstrap over examples and seeds of the difference between two methods.
import { RandomStream } from '@promot/core/base';
import { keepList, keptTasks } from './kept.js';
import type { Look } from './looks.js';

/**
 * The rule, written down before any result: a task counts in the mean where the model before training is more than this
 * many points above chance. A task that it cannot do has nothing to lose. Every task is reported.
 */
export const countedAbove = 2;

/** The tasks that count, by what the model before training scores. */
export function countedTasks({ kept }: Pick<Look, 'kept'>): string[] {
  return keptTasks.flatMap(({ task, chance }) =>
    kept[task] !== undefined && kept[task] > chance + countedAbove ? [task] : [],
  );
}

/** The mean of these tasks, percent right. NaN where there are none. */
export function meanKept({ kept }: Pick<Look, 'kept'>, tasks: readonly string[]): number {
  return tasks.reduce((sum, task) => sum + kept[task]!, 0) / tasks.length;
}

/** The looks of one arm: for each seed, from the model before training on. */
export interface Course {
  readonly series: string;
  readonly method: string;
  readonly seeds: readonly (readonly Look[])[];
}

/**
 * The courses of looks, in the order of their first one. What trains the prompt alone, and early stopping, which is a
 * point of another course, have none.
 */
export function coursesOf(looks: readonly Look[]): Course[] {
  const before = looks.find(({ method }) => method === 'before');
  const courses = new Map<string, { method: string; seeds: Map<number, Look[]> }>();
  for (const look of looks) {
    if (look.method === 'before' || look.method === 'early stopping') continue;
    if (look.kept[keepList[0]!] === undefined) continue;
    const course = courses.get(look.series) ?? { method: look.method, seeds: new Map<number, Look[]>() };
    courses.set(look.series, course);
    const own = course.seeds.get(look.seed) ?? (before ? [before] : []);
    course.seeds.set(look.seed, [...own, look]);
  }
  return [...courses].map(([series, { method, seeds }]) => ({ series, method, seeds: [...seeds.values()] }));
}

/** A place between two neighbouring looks. */
interface Crossing {
  readonly from: Look;
  readonly to: Look;
  /** 0: `from`; 1: `to`. */
  readonly part: number;
}

/** Where a training first reaches a target score; undefined where it never does. */
export function crossingAt(looks: readonly Look[], score: number): Crossing | undefined {
  const i = looks.findIndex(({ target }) => target >= score);
  if (i === -1) return undefined;
  const to = looks[i]!;
  const from = looks[Math.max(0, i - 1)]!;
  return { from, to, part: i === 0 ? 1 : (score - from.target) / (to.target - from.target) };
}

/** A measure at a crossing, on the line between its two looks; undefined where one of them lacks it. */
export function valueAt({ from, to, part }: Crossing, measure: string): number | undefined {
  const [a, b] = [from.kept[measure], to.kept[measure]];
  return a === undefined || b === undefined ? undefined : (1 - part) * a + part * b;
}

/** A course at a target score: all its seeds reach it. */
export interface AtScore {
  readonly course: Course;
  readonly crossings: readonly Crossing[];
  /** Mean over the tasks that count and over the seeds. */
  readonly kept: number;
  /** Mean step over the seeds; of mixtures there is none. */
  readonly step?: number;
}

/** The courses that reach a target score with every seed, there. */
export function atScore(courses: readonly Course[], score: number, tasks: readonly string[]): AtScore[] {
  return courses.flatMap((course) => {
    const crossings = course.seeds.map((looks) => crossingAt(looks, score));
    if (!crossings.every((one) => one !== undefined)) return [];
    const steps = crossings.map(({ from, to, part }) => (1 - part) * from.step + part * to.step);
    const isMixture = course.seeds.flat().some(({ factor }) => factor !== undefined);
    return [
      {
        course,
        crossings,
        kept: mean(crossings.map((one) => mean(tasks.map((task) => valueAt(one, task)!)))),
        ...(!isMixture && { step: mean(steps) }),
      },
    ];
  });
}

/**
 * Where methods are compared: at these shares of the way from the model before training to the highest score that
 * fine-tuning and ProMoT both reach. The sentences are about `mainShare`: at the very top only the fastest arms arrive,
 * and what a smaller rate keeps would not be seen.
 */
export const shares = [0.5, 0.7, 0.9, 1] as const;
export const mainShare = 0.9;

/**
 * The highest target score that fine-tuning and ProMoT both reach, each with its best arm; without one of the two, the
 * highest that every course reaches. Undefined where there is no course.
 */
export function highestScore(courses: readonly Course[]): number | undefined {
  const reached = ({ seeds }: Course) => Math.min(...seeds.map((looks) => Math.max(...looks.map((one) => one.target))));
  const bestOf = (method: string) => {
    const own = courses.filter((course) => course.method === method);
    return own.length === 0 ? undefined : Math.max(...own.map(reached));
  };
  const [plain, promot] = [bestOf('fine-tuning'), bestOf('ProMoT')];
  if (plain !== undefined && promot !== undefined) return Math.min(plain, promot);
  return courses.length === 0 ? undefined : Math.min(...courses.map(reached));
}

/** Of each method the course that keeps most by these tasks: its rate or strength. In the methods' order. */
export function bestOfMethods(found: readonly AtScore[], tasks: readonly string[]): AtScore[] {
  const best = new Map<string, { one: AtScore; kept: number }>();
  for (const one of found) {
    const kept = mean(one.crossings.flatMap((crossing) => tasks.map((task) => valueAt(crossing, task)!)));
    const { method } = one.course;
    if (!best.has(method) || kept > best.get(method)!.kept) best.set(method, { one, kept });
  }
  return [...best.values()].map(({ one }) => one);
}

export interface Difference {
  /** Of the mean of the tasks: the first less the second. */
  readonly value: number;
  /** 95 %. */
  readonly low: number;
  readonly high: number;
}

const resamples = 1000;

/**
 * The difference in what is kept between two sides, with its percentile bootstrap interval over examples (the same for
 * both sides) and, where a side has several, over its seeds. Where on a course the score is reached is taken as given.
 * Undefined where a look has no examples (those of an earlier release).
 */
export function differenceOf(
  first: readonly Crossing[],
  second: readonly Crossing[],
  tasks: readonly string[],
): Difference | undefined {
  const sides = [first, second].map((side) => side.map((crossing) => tasks.map((task) => examplesAt(crossing, task))));
  const all = sides.flat(2);
  if (tasks.length === 0 || all.some((examples) => examples === undefined)) return undefined;
  const [a, b] = sides as [number[][][], number[][][]];
  const counts = tasks.map((_, i) => a[0]![i]!.length);
  if (all.some((examples, i) => examples!.length !== counts[i % tasks.length])) return undefined;
  const random = new RandomStream(0);
  const draw = (n: number) => Array.from({ length: n }, () => random.integer(n));
  const meanOf = (side: number[][][], seeds: readonly number[], drawn: readonly (readonly number[])[]) =>
    mean(tasks.map((_, t) => mean(seeds.map((seed) => mean(drawn[t]!.map((i) => side[seed]![t]![i]!))))));
  const differences = Array.from({ length: resamples }, () => {
    const drawn = counts.map(draw);
    return meanOf(a, draw(a.length), drawn) - meanOf(b, draw(b.length), drawn);
  }).sort((x, y) => x - y);
  const at = (fraction: number) => differences[Math.round(fraction * (resamples - 1))]!;
  const whole = counts.map((n) => Array.from({ length: n }, (_, i) => i));
  const every = (side: number[][][]) => side.map((_, i) => i);
  return { value: meanOf(a, every(a), whole) - meanOf(b, every(b), whole), low: at(0.025), high: at(0.975) };
}

function examplesAt({ from, to, part }: Crossing, task: string): number[] | undefined {
  const [a, b] = [from.examples?.[task], to.examples?.[task]];
  return a?.length === b?.length ? a?.map((one, i) => (1 - part) * one + part * b![i]!) : undefined;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

// What the real experiment found, as a report: three sentences made of the numbers, the front of target against kept,
// what is kept at equal target score, all looks, and what explains it. Works with few arms, too.
import { type Cell, type Figure, paretoFront, type Report, type Section, type Table } from '@promot/core/report';
import {
  type AtScore,
  atScore,
  bestOfMethods,
  type Course,
  countedAbove,
  countedTasks,
  coursesOf,
  type Difference,
  differenceOf,
  highestScore,
  mainShare,
  meanKept,
  shares,
  valueAt,
} from './equal.js';
import { keepList } from './kept.js';
import type { Look } from './looks.js';
import type { Absorbed } from './why.js';

interface Found {
  /** Name of the target: `snli`. */
  readonly target: string;
  readonly looks: readonly Look[];
  /** By what a report calls the prompt. */
  readonly absorbed?: ReadonlyMap<string, Absorbed>;
  readonly facts: Report['facts'];
}

const lowerIsBetter = (measure: string) => /^(bits|nats|form|KL)/u.test(measure);
const digitsOf = (measure: string) => (/^(bits|nats|KL)/u.test(measure) ? 3 : 1);
const measuresOf = (looks: readonly Look[]) => [...new Set(looks.flatMap(({ kept }) => Object.keys(kept)))];

/** All methods at one target score, the ones that are compared first. */
interface Compared {
  readonly score: number;
  /** Tasks that count. */
  readonly tasks: readonly string[];
  readonly before: Look;
  readonly all: readonly AtScore[];
  /** Of each method its best arm by the keep list. */
  readonly best: readonly AtScore[];
  readonly courses: readonly Course[];
}

/**
 * What is to be compared, at a share of the way to the highest score that fine-tuning and ProMoT reach; undefined where
 * nothing was trained, or nothing was learned.
 */
export function compare(looks: readonly Look[], share: number = mainShare): Compared | undefined {
  const before = looks.find(({ method }) => method === 'before');
  const courses = coursesOf(looks);
  const highest = highestScore(courses);
  // At a score that the model had before training nothing has been learned.
  if (!before || highest === undefined || highest <= before.target) return undefined;
  const tasks = countedTasks(before);
  if (tasks.length === 0) return undefined;
  const score = before.target + share * (highest - before.target);
  const all = atScore(courses, score, tasks);
  const choosing = keepList.filter((task) => tasks.includes(task));
  return { score, tasks, before, all, best: bestOfMethods(all, choosing.length > 0 ? choosing : tasks), courses };
}

/** A row a method: what its best arm keeps at each score, by the mean of the tasks that count. */
function scoresTable(looks: readonly Look[]): Table | undefined {
  const found = shares.flatMap((share) => compare(looks, share) ?? []);
  if (found.length === 0) return undefined;
  const methods = [...new Set(found.flatMap(({ courses }) => courses.map(({ method }) => method)))];
  return {
    columns: ['mean kept', ...found.map(({ score }) => `at ${score.toFixed(1)}`)],
    rows: methods.map((method) => ({
      name: method,
      cells: found.map(({ best }): Cell => {
        const one = best.find(({ course }) => course.method === method);
        return { text: one ? `${one.kept.toFixed(1)} (${strengthOf(one)})` : 'not reached' };
      }),
    })),
    note:
      `Before training: ${meanKept(found[0]!.before, found[0]!.tasks).toFixed(1)}. In brackets the best arm at ` +
      'this score.',
  };
}

/** One picture: the target across, what is kept upward, a series a method. */
export function frontFigure(looks: readonly Look[], target: string): Figure {
  const before = looks.find(({ method }) => method === 'before');
  const counted = before ? countedTasks(before) : [];
  // A model near chance on all of them has nothing to lose: then the figure is of the keep list.
  const tasks = counted.length > 0 ? counted : keepList;
  const measured = looks
    .map((look) => ({ ...look, kept: { ...(isPromptAlone(look) && before?.kept), ...look.kept } }))
    .filter(({ kept }) => tasks.every((task) => kept[task] !== undefined));
  const points = measured.map((look) => ({ look, x: look.target, y: meanKept(look, tasks) }));
  const front = new Set(paretoFront(points));
  const methods = [...new Set(measured.map(({ method }) => method))];
  return {
    name: 'front',
    title: 'What is learned and what is kept',
    x: `${target}: score on the target`,
    y: `mean of ${tasks.join(', ')}: percent right`,
    kind: 'scatter',
    series: methods.map((method) => ({
      name: method,
      points: points
        .filter(({ look }) => look.method === method)
        // Words at every point would hide the others.
        .map((point) => ({ x: point.x, y: point.y, ...(front.has(point) && { label: shortName(point.look) }) })),
    })),
    front: [...front].map(({ x, y }) => ({ x, y })),
  };
}

/** Of a look of a method that is named already. */
const shortName = (look: Look) =>
  look.method === 'before' ? undefined : [look.series.slice(look.method.length + 2), placeOf(look)].join(', ');

/** Where nothing but a prompt was trained, all else is as the model before training has it. */
const isPromptAlone = ({ kept }: Look) => keepList.every((task) => kept[task] === undefined);

/** A row an arm that reaches the score, its best arm marked; methods that do not reach it are named below. */
export function equalTable({ score, tasks, before, all, best, courses }: Compared): Table {
  const measures = measuresOf([before, ...courses.flatMap(({ seeds }) => seeds.flat())]);
  const ours = best.find(({ course }) => course.method === 'ProMoT');
  const missing = courses.filter((course) => !all.some((one) => one.course === course)).map(({ series }) => series);
  const rowOf = (one: AtScore) => {
    const less = ours && ours !== one ? differenceOf(ours.crossings, one.crossings, tasks) : undefined;
    const cell = (measure: string): Cell => {
      const values = one.crossings.flatMap((crossing) => valueAt(crossing, measure) ?? []);
      return { value: mean(values), digits: digitsOf(measure) };
    };
    return {
      name: `${one.course.series}${best.includes(one) ? ' *' : ''}`,
      cells: [
        { value: one.step, digits: 0 },
        { value: one.kept, difference: one.kept - meanKept(before, tasks) },
        less === undefined
          ? { text: ours === one ? 'itself' : '-' }
          : { value: less.value, interval: [less.low, less.high] },
        ...measures.map(cell),
      ] satisfies Cell[],
    };
  };
  return {
    columns: [`at ${score.toFixed(1)} on the target`, 'step', 'mean kept', 'ProMoT less it', ...measures],
    lowerIsBetter: measures.filter(lowerIsBetter),
    rows: [
      {
        name: 'before',
        cells: [
          {},
          { value: meanKept(before, tasks) },
          { text: '-' },
          ...measures.map((name) => ({ value: before.kept[name], digits: digitsOf(name) })),
        ],
      },
      ...all.map(rowOf),
    ],
    note:
      `Between two looks values lie on a line. Mean kept: ${tasks.join(', ')}. *: of its method the arm that keeps ` +
      `most by ${keepList.join(', ')}. ProMoT less it: with the paired bootstrap's 95 % interval over examples and ` +
      'seeds, where the looks have examples.' +
      (missing.length > 0 ? ` Not reached by ${missing.join('; ')}.` : ''),
  };
}

/** What the numbers say, in at most three sentences. */
function sentences(compared: Compared, target: string): string[] {
  const { score, tasks, before, best, all, courses } = compared;
  const first = meanKept(before, tasks);
  const points = (value: number) => value.toFixed(1);
  const ofMethod = (method: string) => best.find(({ course }) => course.method === method);
  const [ours, plain] = [ofMethod('ProMoT'), ofMethod('fine-tuning')];
  const at = `At ${points(score)} on ${target}`;
  const said: string[] = [];
  const hasRates = courses.filter(({ method }) => method === 'fine-tuning').length > 1;
  if (ours && plain) {
    const twin = all.find(
      ({ course }) =>
        course.method === 'fine-tuning' && rateOf(course) === rateOf(ours.course) && course !== plain.course,
    );
    said.push(
      `${at} ProMoT (${strengthOf(ours)}) keeps ${points(ours.kept)} of ${points(first)} percent right, ` +
        `fine-tuning ${points(plain.kept)} ${hasRates ? 'at its best rate ' : ''}(${strengthOf(plain)}): ` +
        `${shownDifference(between(ours, plain, tasks), ours.kept - plain.kept)}` +
        (twin ? `; at ProMoT's own rate fine-tuning keeps ${points(twin.kept)}.` : '.'),
    );
  } else if (ours ?? plain) {
    const one = (ours ?? plain)!;
    said.push(`${at} ${one.course.series} keeps ${points(one.kept)} of ${points(first)} percent right.`);
  }
  const rivals = ours ? best.filter((one) => one !== ours && one !== plain) : [];
  if (ours && rivals.length > 0) {
    const verdicts = rivals.map((one) => ({
      one,
      verdict: verdictOf(between(ours, one, tasks), ours.kept - one.kept),
    }));
    const listOf = (verdict: Verdict) =>
      verdicts.flatMap((of) => (of.verdict === verdict ? [`${of.one.course.series} (${points(of.one.kept)})`] : []));
    const parts = (['less', 'as much', 'more'] as const).flatMap((verdict) => {
      const list = listOf(verdict);
      return list.length === 0
        ? []
        : [`${verdict} than ProMoT keep ${list.join(', ')}`.replace('as much than', 'as much as')];
    });
    said.push(`Of the other methods, each at its best strength, ${parts.join('; ')}.`);
  }
  if (plain) {
    const lost = differenceOf([{ from: before, to: before, part: 1 }], plain.crossings, tasks);
    const points_ = first - plain.kept;
    const isNone = lost === undefined ? points_ < nothing : lost.low <= 0;
    said.push(
      isNone
        ? `Fine-tuning at ${strengthOf(plain)} loses nothing that these measures can tell ` +
            `(${shownDifference(lost, points_)}): there nothing else is needed.`
        : `${hasRates ? 'Even at its best rate fine-tuning' : 'Fine-tuning'} loses ` +
            `${shownDifference(lost, points_)} of what the model could do before.`,
    );
  }
  return said;
}

type Verdict = 'less' | 'as much' | 'more';
/** Points that count as nothing where there is no interval. */
const nothing = 1;

function verdictOf(difference: Difference | undefined, value: number): Verdict {
  const { low, high } = difference ?? { low: value - nothing, high: value + nothing };
  return low > 0 ? 'less' : high < 0 ? 'more' : 'as much';
}

function between(first: AtScore, second: AtScore, tasks: readonly string[]): Difference | undefined {
  return differenceOf(first.crossings, second.crossings, tasks);
}

function shownDifference(difference: Difference | undefined, value: number): string {
  if (!difference) return `${value.toFixed(1)} points (no interval: the looks have no examples)`;
  return (
    `${difference.value.toFixed(1)} points (95 % interval ${difference.low.toFixed(1)} to ` +
    `${difference.high.toFixed(1)})`
  );
}

const rateOf = ({ seeds }: Course) => seeds[0]!.at(-1)!.rate;
const strengthOf = ({ course }: AtScore) => course.series.slice(course.method.length + 2);

/** A row a look. */
function looksTable(looks: readonly Look[]): Table {
  const measures = measuresOf(looks);
  const hasSeeds = looks.some(({ seed }) => seed > 0);
  const hasWithout = looks.some(({ targetWithoutPrompt }) => targetWithoutPrompt !== undefined);
  return {
    columns: [
      'method',
      'at',
      ...(hasSeeds ? ['seed'] : []),
      'target',
      ...(hasWithout ? ['without prompt'] : []),
      ...measures,
    ],
    lowerIsBetter: measures.filter(lowerIsBetter),
    rows: looks.map((look) => ({
      name: look.series,
      cells: [
        { text: placeOf(look) },
        ...(hasSeeds ? [{ value: look.seed, digits: 0 }] : []),
        { value: look.target },
        ...(hasWithout ? [{ value: look.targetWithoutPrompt }] : []),
        ...measures.map((name) => ({ value: look.kept[name], digits: digitsOf(name) })),
      ],
    })),
    note:
      'Percent right; bits a byte; nats a token of references; KL(before || tuned) in nats a token of XSum articles. ' +
      'Where only a prompt was trained, everything else is as before.',
  };
}

const placeOf = ({ factor, step }: Look) => (factor === undefined ? `step ${step}` : `factor ${factor}`);

/** What each prompt absorbed. */
function absorbedTable(absorbed: ReadonlyMap<string, Absorbed>): Table {
  return {
    columns: [
      'prompt',
      'loss without',
      'loss behind it',
      'gradient without',
      'gradient behind it',
      'cosine of the two',
      'format cosine without',
      'format cosine behind it',
      'nearest words',
    ],
    rows: [...absorbed].map(([name, { loss, gradients, format, nearest }]) => ({
      name,
      cells: [
        { value: loss.without, digits: 3 },
        { value: loss.behind, digits: 3 },
        { value: mean(gradients.map((one) => one.without)), digits: 2 },
        { value: mean(gradients.map((one) => one.behind)), digits: 2 },
        { value: mean(gradients.flatMap((one) => one.cosine ?? [])), digits: 3 },
        { value: format.without, digits: 3 },
        { value: format.behind, digits: 3 },
        { text: nearest.map(([first]) => JSON.stringify(first!.token)).join(' ') },
      ],
    })),
    note:
      'At the weights before training: nats a token of the validation answers; norms of the gradient over all ' +
      'parameters, the mean of the first batches; the cosine of the gradient with that on shuffled answers; for ' +
      'each row of the prompt the token whose embedding is nearest.',
  };
}

export function realReport({ target, looks, absorbed, facts }: Found): Report {
  const compared = compare(looks);
  const said = compared ? sentences(compared, target) : [];
  const before = looks.find(({ method }) => method === 'before');
  const counted = before ? countedTasks(before) : [];
  const sections: Section[] = [{ heading: 'Gained and kept', figure: frontFigure(looks, target) }];
  if (compared) sections.push({ heading: 'Kept at equal target score', table: equalTable(compared) });
  const scores = scoresTable(looks);
  if (scores) sections.push({ heading: 'Kept at other scores', table: scores });
  sections.push({ heading: 'All looks', table: looksTable(looks) });
  if (absorbed && absorbed.size > 0)
    sections.push({ heading: 'What the prompt absorbed', table: absorbedTable(absorbed) });
  return {
    title: `What a real model learns of ${target} and what it keeps`,
    ...(said[0] !== undefined && { headline: said[0] }),
    summary: [
      ...said.slice(1),
      'Each point is a model at one moment of its training. The target is asked with the soft prompt where the ' +
        'method has one, everything else without it.',
      `A task counts in the mean where the model before training is more than ${countedAbove} points above chance: ` +
        `${counted.length > 0 ? counted.join(', ') : 'of those that were looked at, none does'}. All are in the ` +
        'tables.',
    ],
    sections,
    facts,
  };
}

/** NaN of nothing would be drawn as a number: there it is absent. */
function mean(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length;
}

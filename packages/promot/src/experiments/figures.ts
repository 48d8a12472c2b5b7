// The paper's figures with our numbers: the course of a run, the alignment of gradients, the trade-off of a long run.

import type { Cell, Figure, FigurePoint, Section } from '@promot/core/report';
import { paretoFront } from '@promot/core/report';
import { type Contender, contenders } from './contenders.js';
import { firstToReach, reachedByAll } from './equal-target.js';
import type { CourseExperiment, TradeOffExperiment, UnseenTask } from './experiment.js';
import type { ExperimentFolder } from './folder.js';
import {
  type Found,
  meanOf,
  measureOf,
  type RunCheckpoint,
  readCourse,
  readEvaluationJob,
  type WatchedScore,
} from './numbers.js';
import { type FigurePart, figureParts, type Planner } from './plan.js';

/** A contender's checkpoints, a list for each seed; of a model that has no course, its end alone. */
interface SeriesNumbers {
  readonly contender: string;
  readonly label: string;
  readonly seeds: readonly (readonly RunCheckpoint[])[];
}

type FigureExperiment = CourseExperiment | TradeOffExperiment;

/** All numbers of a figure. Errors: a UserError for files that are missing or damaged. */
export function figureNumbers(
  experiment: FigureExperiment,
  planner: Planner,
  folder: ExperimentFolder,
): SeriesNumbers[] {
  const { task } = planner.place(experiment.target)!;
  const checkpoints = (part: FigurePart): RunCheckpoint[] => {
    if ('run' in part) return readCourse(folder, part.run);
    const { score } = readEvaluationJob(folder, part.target).get(task)!;
    const keep = [...readEvaluationJob(folder, part.unseen).values()].map((entry) => ({
      task: entry.task,
      metric: entry.metric,
      score: entry.score,
      nll: entry.nll!,
    }));
    return [{ step: 0, score, keep, alignment: {} }];
  };
  return experiment.contenders.map((name) => {
    const { label }: Contender = contenders[name];
    return { contender: name, label, seeds: figureParts(experiment, name, planner).map(checkpoints) };
  });
}

/**
 * The figure, beside it the likelihood of the references and the share of the target's form along training, and a table
 * of methods at equal target score.
 */
export function figureSections(
  experiment: FigureExperiment,
  numbers: readonly SeriesNumbers[],
  planner: Planner,
): Section[] {
  const text = [`The paper: ${experiment.paper}`];
  if (experiment.kind === 'trade-off')
    return [
      { heading: 'Trade-off', text, figure: tradeOff(experiment, numbers, planner) },
      ...aside(experiment, numbers, planner),
    ];
  switch (experiment.draws) {
    case 'alignment':
      return [{ heading: 'Along training', text, figure: alignmentLines(experiment, numbers) }];
    case 'alignment-ends':
      return [{ heading: 'At the beginning and later', text, figure: alignmentBars(experiment, numbers) }];
    default:
      return [
        { heading: 'Along training', text, figure: courseLines(experiment, numbers, planner) },
        ...aside(experiment, numbers, planner),
      ];
  }
}

function aside(experiment: FigureExperiment, numbers: readonly SeriesNumbers[], planner: Planner): Section[] {
  // A finished model without a course has one checkpoint, and no say in what all reach.
  const courses = numbers.filter(({ seeds }) => seeds[0]!.length > 1);
  if (courses.length === 0) return [];
  const sections: Section[] = [
    { heading: 'How unlikely the references become', figure: nllLines(experiment, courses, planner) },
  ];
  const shares = formLines(experiment, courses, planner);
  const drawn = experiment.kind === 'course' && experiment.draws === 'form-share';
  if (!drawn && shares.series.length > 0) sections.push({ heading: "The target's form elsewhere", figure: shares });
  return [...sections, equalTarget(experiment, courses, planner)];
}

/**
 * The mean over seeds at each step that all have, and one standard deviation to each side; of one seed its bootstrap
 * interval.
 */
function line(
  seeds: readonly (readonly RunCheckpoint[])[],
  of: (at: RunCheckpoint) => Found | undefined,
): FigurePoint[] {
  return seeds[0]!.flatMap(({ step }) => {
    const found = seeds.flatMap((seed) => {
      const at = seed.find((checkpoint) => checkpoint.step === step);
      return (at && of(at)) ?? [];
    });
    if (found.length < seeds.length) return [];
    const { value, spread, interval } = measureOf(found);
    const around = spread === undefined ? interval : ([value - spread, value + spread] as const);
    return [{ x: step, y: value, ...(around && { interval: around }) }];
  });
}

const bare = (value: number | undefined): Found | undefined => (value === undefined ? undefined : { value });
const withInterval = (value: number, interval: WatchedScore['interval']): Found => ({
  value,
  ...(interval && { interval: [interval.low, interval.high] as const }),
});

/** A line for each drawn task and contender. */
function taskLines(
  { tasks }: FigureExperiment,
  numbers: readonly SeriesNumbers[],
  planner: Planner,
  of: (kept: WatchedScore) => Found | undefined,
): Figure['series'] {
  return numbers.flatMap(({ label, seeds }) =>
    placed(tasks, planner).map((task) => ({
      name: `${label}: ${task}`,
      points: line(seeds, ({ keep }) => {
        const kept = keep.find((one) => one.task === task);
        return kept && of(kept);
      }),
    })),
  );
}

const placed = (tasks: readonly UnseenTask[], planner: Planner): string[] =>
  tasks.flatMap((task) => planner.place(task)?.task ?? []);

function courseLines(experiment: CourseExperiment, numbers: readonly SeriesNumbers[], planner: Planner): Figure {
  const share = experiment.draws === 'form-share';
  const { task } = planner.place(experiment.target)!;
  return {
    name: experiment.name,
    kind: 'lines',
    x: 'steps of training the model',
    title: experiment.shows,
    y: share ? `accuracy on ${task}; % of outputs in its form` : 'score',
    series: [
      ...numbers.map(({ label, seeds }) => ({
        name: `${label}: ${task}`,
        points: line(seeds, ({ score }) => bare(score)),
      })),
      ...taskLines(experiment, numbers, planner, (kept) =>
        share ? bare(kept.formShare) : withInterval(kept.score, kept.interval),
      ),
    ],
  };
}

function nllLines(experiment: FigureExperiment, numbers: readonly SeriesNumbers[], planner: Planner): Figure {
  return {
    name: `${experiment.name}-nll`,
    kind: 'lines',
    x: 'steps of training the model',
    title: 'Negative log-likelihood of the references, 1-shot',
    y: 'nats per token',
    series: taskLines(experiment, numbers, planner, ({ nll, nllInterval }) => withInterval(nll!, nllInterval)),
  };
}

function formLines(experiment: FigureExperiment, numbers: readonly SeriesNumbers[], planner: Planner): Figure {
  return {
    name: `${experiment.name}-form`,
    kind: 'lines',
    x: 'steps of training the model',
    title: "Share of the outputs that have the target's form, 1-shot",
    y: 'percent',
    series: taskLines(experiment, numbers, planner, ({ formShare }) => bare(formShare)).filter(
      ({ points }) => points.length > 0,
    ),
  };
}

/** What the paper shows; the results have the other groups, too. */
const shownGroups = { mlp: 'MLP', query: 'query', key: 'key', value: 'value' };

const cosines = { y: 'cosine of gradient and format gradient' };

function alignmentLines({ name, shows }: CourseExperiment, numbers: readonly SeriesNumbers[]): Figure {
  return {
    name,
    kind: 'lines',
    x: 'steps of training the model',
    title: shows,
    ...cosines,
    series: numbers.flatMap(({ label, seeds }) =>
      Object.entries(shownGroups).map(([group, shown]) => ({
        name: `${label}: ${shown}`,
        points: line(seeds, ({ alignment }) => bare(alignment[group])),
      })),
    ),
  };
}

function alignmentBars(
  { name, shows, later = Number.POSITIVE_INFINITY }: CourseExperiment,
  numbers: readonly SeriesNumbers[],
): Figure {
  return {
    name,
    kind: 'bars',
    x: 'parameters of the last decoder layer',
    title: shows,
    ...cosines,
    series: numbers.flatMap(({ label, seeds }) => {
      const groups = Object.entries(shownGroups).map(
        ([group, shown]) => [shown, line(seeds, ({ alignment }) => bare(alignment[group]))] as const,
      );
      const ends = [
        (points: FigurePoint[]) => points[0],
        (points: FigurePoint[]) => points.findLast(({ x }) => Number(x) <= later),
      ];
      return ends.flatMap((end) => {
        const bars = groups.flatMap(([shown, points]) => {
          const point = end(points);
          return point ? [{ step: point.x, bar: { ...point, x: shown } }] : [];
        });
        return bars.length === 0
          ? []
          : [{ name: `${label}, step ${bars[0]!.step}`, points: bars.map(({ bar }) => bar) }];
      });
    }),
  };
}

function tradeOff(experiment: TradeOffExperiment, numbers: readonly SeriesNumbers[], planner: Planner): Figure {
  const tasks = placed(experiment.tasks, planner);
  const series = numbers.map(({ label, seeds }) => ({
    name: label,
    points: seeds.flat().flatMap(({ step, score, keep }) => {
      if (score === undefined) return [];
      const y = meanOf(tasks.map((task) => keep.find((one) => one.task === task)!.score));
      return [{ x: score, y, ...(step > 0 && { label: `step ${step}` }) }];
    }),
  }));
  return {
    name: experiment.name,
    kind: 'scatter',
    title: experiment.shows,
    y: experiment.upward,
    x: `score on ${planner.place(experiment.target)!.task}`,
    series,
    front: paretoFront(series.flatMap(({ points }) => points)),
  };
}

/** What is left of the watched tasks where each run first reaches the score on the target that all runs reach. */
function equalTarget(experiment: FigureExperiment, courses: readonly SeriesNumbers[], planner: Planner): Section {
  const reach = reachedByAll(courses.flatMap(({ seeds }) => seeds));
  const target = planner.place(experiment.target)!.task;
  const watched = placed(experiment.watches, planner);
  const shares = courses.some(({ seeds }) => seeds[0]![0]!.keep.some(({ formShare }) => formShare !== undefined));
  const share = "% of other tasks' outputs in the target's form";
  const cells = (at: readonly RunCheckpoint[], from: readonly RunCheckpoint[]): Cell[] => {
    const one = (of: (kept: readonly WatchedScore[]) => number): Cell => {
      const { value, spread } = measureOf(at.map(({ keep }) => ({ value: of(keep) })));
      const before = meanOf(from.map(({ keep }) => of(keep)));
      // Before training all seeds are the same model.
      if (at === from) return { value };
      return { value, ...(spread !== undefined && { spread }), difference: value - before };
    };
    const formShares = (kept: readonly WatchedScore[]) => kept.flatMap(({ formShare }) => formShare ?? []);
    return [
      one((kept) => meanOf(kept.map(({ score }) => score))),
      ...watched.map((task) => one((kept) => kept.find((entry) => entry.task === task)!.score)),
      ...(shares ? [one((kept) => meanOf(formShares(kept)))] : []),
    ];
  };
  const over = (values: readonly number[]): Cell => {
    const { value, spread } = measureOf(values.map((one) => ({ value: one })));
    return { value, ...(spread !== undefined && { spread }) };
  };
  const start = courses[0]!.seeds.map(([first]) => first!);
  return {
    heading: 'At equal score on the target',
    text: [
      `Every run reaches ${reach.toFixed(1)} on ${target} at some checkpoint. Here each is taken where it first does.`,
    ],
    table: {
      columns: ['method', `${target} (validation)`, 'steps', 'mean of tasks', ...watched, ...(shares ? [share] : [])],
      rows: [
        { name: 'Before', cells: [{ text: '-' }, { value: 0, digits: 0 }, ...cells(start, start)] },
        ...courses.map(({ label, seeds }) => {
          const at = seeds.map((seed) => firstToReach(seed, reach)!);
          const scores = over(at.map(({ score }) => score!));
          return {
            name: label,
            cells: [scores, { ...over(at.map(({ step }) => step)), digits: 0 }, ...cells(at, start)],
          };
        }),
      ],
      lowerIsBetter: [share],
      note:
        '±: standard deviation over seeds. Signed: difference to before. Other tasks 1-shot, on their evaluation ' +
        'examples.',
    },
  };
}

// Figures of training runs: loss, validation, what is left of the other tasks, and the trade-off between the two.

import type { KeepLine, TrainingRun } from '../artifacts/training-run.js';
import { grouped } from '../base/group.js';
import { paretoFront } from './pareto.js';
import type { Figure, FigurePoint, Section } from './report.js';

/** A run with the name that its lines get. */
export interface NamedRun {
  readonly name: string;
  readonly run: TrainingRun;
}

/** Points of a score that an axis shows at least. */
const scoreSpan = 40;
/** Points that a loss curve is thinned to. */
const lossPoints = 60;

interface Placed {
  readonly stage: string;
  readonly step: number;
  readonly task?: string;
}

type Series = Figure['series'][number];

/** One series for each run and part of it (a stage, or a task's prompt stage) that has lines of a kind. */
function seriesOf<T extends Placed>(
  runs: readonly NamedRun[],
  linesOf: (run: TrainingRun) => readonly T[],
  pointsOf: (lines: readonly T[]) => readonly FigurePoint[],
): Series[] {
  return runs.flatMap(({ name, run }) => {
    const parts = grouped(linesOf(run), ({ stage, task }) => `${stage} stage${task === undefined ? '' : `, ${task}`}`);
    return [...parts].map(([part, lines]) => ({
      name: parts.size > 1 ? `${name}: ${part}` : name,
      points: pointsOf(lines),
    }));
  });
}

/** Mean loss over windows of steps, at each window's last step. */
export function lossFigure(runs: readonly NamedRun[]): Figure {
  const longest = Math.max(0, ...runs.flatMap(({ run }) => run.steps.map(({ step }) => step)));
  const window = Math.max(1, Math.ceil(longest / lossPoints));
  const points = (lines: readonly (Placed & { loss: number })[]) =>
    [...grouped(lines, ({ step }) => Math.ceil(step / window)).values()].map((own) => ({
      x: own.at(-1)!.step,
      y: mean(own.map(({ loss }) => loss)),
    }));
  return {
    name: 'training-loss',
    title: `Training loss${window > 1 ? `, mean of ${window} steps` : ''}`,
    x: 'step of the stage',
    y: 'nats per token',
    kind: 'lines',
    series: seriesOf(runs, ({ steps }) => steps, points),
  };
}

/** The target task's score on the validation split at the kept checkpoints. */
export function validationFigure(runs: readonly NamedRun[]): Figure {
  const metrics = new Set(runs.flatMap(({ run }) => run.evaluations.map(({ metric }) => metric)));
  return {
    name: 'validation',
    title: 'Target task on the validation split',
    x: 'step of the stage',
    y: metrics.size === 1 ? [...metrics][0]! : 'score',
    kind: 'lines',
    atLeast: { y: scoreSpan },
    series: seriesOf(
      runs,
      ({ evaluations }) => evaluations,
      (lines) => lines.map(({ step, score }) => ({ x: step, y: score })),
    ),
  };
}

/** A value of the whole keep list over the steps; lines without it are left out. */
function keepFigure(
  runs: readonly NamedRun[],
  look: Pick<Figure, 'name' | 'title' | 'y' | 'atLeast'>,
  valueAt: (line: KeepLine) => number | undefined,
): Figure {
  const points = (lines: readonly KeepLine[]) =>
    lines.flatMap((line) => {
      const y = valueAt(line);
      return y === undefined ? [] : [{ x: line.step, y }];
    });
  const series = seriesOf(runs, ({ keeps }) => keeps, points).filter((one) => one.points.length > 0);
  return { ...look, x: 'step of the stage', kind: 'lines', series };
}

/** The mean over those of the keep list that have it: a language is not looked for in tasks with labels. */
function meanOf(key: 'formShare' | 'nll'): (line: KeepLine) => number | undefined {
  return ({ keep }) => {
    const values = keep.flatMap((one) => one[key] ?? []);
    return values.length === 0 ? undefined : mean(values);
  };
}

/** Share of the outputs on the other tasks that are in the target's form. */
export function formFigure(runs: readonly NamedRun[]): Figure {
  const look = {
    name: 'form-share',
    title: "Outputs on other tasks that have the target's form (its labels, or its language)",
    y: 'percent',
    atLeast: { y: scoreSpan },
  };
  return keepFigure(runs, look, meanOf('formShare'));
}

/** Each task of the keep list over the steps, of one run. */
function keepTasksFigure({ name, run }: NamedRun): Figure {
  const tasks = [...new Set(run.keeps.flatMap(({ keep }) => keep.map(({ task }) => task)))];
  const series = tasks.map((task) => ({
    name: task,
    points: run.keeps.flatMap(({ step, keep }) => {
      const found = keep.find((one) => one.task === task);
      if (!found) return [];
      const { score, interval } = found;
      return [{ x: step, y: score, ...(interval && { interval: [interval.low, interval.high] as const }) }];
    }),
  }));
  return {
    name: 'keep-tasks',
    title: `Each other task while ${name} trains, with 95 % intervals over examples`,
    x: 'step of the stage',
    y: 'score',
    kind: 'lines',
    atLeast: { y: scoreSpan },
    series,
  };
}

/** Across, the target's validation score; upward, what the other tasks' mean score has changed by since step 0. */
function tradeOffFigure(runs: readonly NamedRun[]): Figure {
  const series = runs.flatMap(({ name, run }) => {
    const start = run.keeps.find(({ step }) => step === 0);
    if (!start) return [];
    const points = run.keeps.flatMap(({ stage, step, keepAverage }) => {
      const target = run.evaluations.find((one) => one.stage === stage && one.step === step);
      return target ? [{ x: target.score, y: keepAverage - start.keepAverage, label: `${step}` }] : [];
    });
    // A label for each point would cover the others.
    return points.length === 0
      ? []
      : [{ name, points: points.map((p, i) => (i < points.length - 1 ? { ...p, label: undefined } : p)) }];
  });
  return {
    name: 'trade-off',
    title: 'What was gained on the target and lost elsewhere, at the kept checkpoints',
    x: 'target, validation score',
    y: 'other tasks, change of the mean score',
    kind: 'scatter',
    atLeast: { x: scoreSpan, y: scoreSpan / 2 },
    series,
    front: paretoFront(series.flatMap(({ points }) => points)),
  };
}

/** Sections with the curves for which the runs have lines. */
export function curveSections(runs: readonly NamedRun[]): Section[] {
  const [loss, validation, form] = [lossFigure(runs), validationFigure(runs), formFigure(runs)];
  const keeping = runs.filter(({ run }) => run.keeps.length > 0);
  const average = keepFigure(
    runs,
    { name: 'keep-average', title: 'Other tasks, mean score', y: 'score', atLeast: { y: scoreSpan } },
    ({ keepAverage }) => keepAverage,
  );
  const nll = keepFigure(
    runs,
    { name: 'keep-nll', title: 'Other tasks, negative log-likelihood of the references', y: 'nats per token' },
    meanOf('nll'),
  );
  const sections: Section[] = [
    { heading: 'Training loss', figure: loss },
    { heading: 'Validation', figure: validation },
    { heading: 'The other tasks along training', figure: average },
    ...(keeping.length === 1 ? [{ heading: 'Each of the other tasks', figure: keepTasksFigure(keeping[0]!) }] : []),
    { heading: 'Likelihood of the right answers', text: ['Lower is better.'], figure: nll },
    { heading: "The target's form elsewhere", figure: form },
    {
      heading: 'Gain and loss',
      text: ['Each point is a kept checkpoint; the last one of each run says its step. Up and to the right is better.'],
      figure: tradeOffFigure(runs),
    },
  ];
  return sections.filter(({ figure }) => figure!.series.some(({ points }) => points.length > 0));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

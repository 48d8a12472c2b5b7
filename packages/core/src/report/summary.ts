// What a report of runs and evaluations is called, what it says first, and its bars.
import { basename } from 'node:path';
import type { NamedRun } from './curves.js';
import { baseOf, type NamedEvaluation } from './evaluation-sections.js';
import { signed } from './numbers.js';
import type { Section } from './report.js';
import { bestOfRun } from './run-sections.js';

/** More runs or evaluations than this are not told one by one. */
const mostTold = 4;

const listed = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
const distinct = (words: readonly string[]) => [...new Set(words)];

/** Such as `promot and fine-tune on lab-rte, model lab`. */
export function titleOf(runs: readonly NamedRun[], evaluations: readonly NamedEvaluation[]): string {
  if (runs.length === 0) {
    const tasks = distinct(evaluations.flatMap(({ evaluation }) => evaluation.tasks.map(({ task }) => task)));
    const names = evaluations.map(({ name }) => name);
    const who = names.length > mostTold ? `${names.length} evaluations` : listed(names);
    return `${who} on ${tasks.length > mostTold ? `${tasks.length} tasks` : listed(tasks)}`;
  }
  const models = distinct(runs.map(({ run }) => basename(run.model)));
  const model = models.length === 1 ? `, model ${models[0]}` : '';
  return (
    `${listed(distinct(runs.map(({ run }) => run.method)))} on ` +
    `${listed(distinct(runs.map(({ run }) => run.task)))}${model}`
  );
}

/** What each run came to, or, without runs, what each evaluation gained and lost most beside the base. */
export function headlineOf(runs: readonly NamedRun[], evaluations: readonly NamedEvaluation[]): string | undefined {
  const sentences = runs.length > 0 ? runs.flatMap(saidOfRun) : evaluations.flatMap((one) => saidOf(one, evaluations));
  return sentences.length === 0 || sentences.length > mostTold ? undefined : sentences.join(' ');
}

function saidOfRun({ name, run }: NamedRun): string[] {
  const result = bestOfRun(run);
  if (!result) return [];
  const { best, before } = result;
  const kept =
    best.keepAverage === undefined || !before
      ? ''
      : `; the other tasks went from ${before.keepAverage.toFixed(1)} to ${best.keepAverage.toFixed(1)}`;
  return [`${name}: ${best.metric} ${best.score.toFixed(1)} on ${run.task}${kept}.`];
}

function saidOf(own: NamedEvaluation, all: readonly NamedEvaluation[]): string[] {
  const base = baseOf(all);
  if (own === base) return [];
  const changes = own.evaluation.tasks.flatMap(({ task, shots, score }) => {
    const before = base.evaluation.tasks.find((one) => one.task === task && one.shots === shots);
    return before ? [{ task, change: score - before.score }] : [];
  });
  const [most] = [...changes].sort((a, b) => b.change - a.change);
  const [least] = [...changes].sort((a, b) => a.change - b.change);
  const told = [
    ...(most && most.change > 0 ? [`most gained ${most.task} (${signed(most.change)})`] : []),
    ...(least && least.change < 0 ? [`most lost ${least.task} (${signed(least.change)})`] : []),
  ];
  return told.length === 0 ? [] : [`${own.name} beside ${base.name}: ${told.join(', ')}.`];
}

/** More bars than this cannot be told apart. */
const mostBars = 48;

/** Bars of each task, a colour an evaluation. */
export function barSections(evaluations: readonly NamedEvaluation[]): Section[] {
  const bars = evaluations.reduce((sum, { evaluation }) => sum + evaluation.tasks.length, 0);
  if (bars < 2 || bars > mostBars) return [];
  const shots = new Set(evaluations.flatMap(({ evaluation }) => evaluation.tasks.map((task) => task.shots)));
  return [
    {
      heading: 'Scores at a glance',
      figure: {
        name: 'scores',
        title: 'Score of each task, with its 95 % interval',
        x: '',
        y: 'score',
        kind: 'bars',
        series: evaluations.map(({ name, evaluation }) => ({
          name,
          points: evaluation.tasks.map(({ task, shots: k, score, interval }) => ({
            x: shots.size > 1 ? `${task}, ${k}-shot` : task,
            y: score,
            ...(interval && { interval: [interval.low, interval.high] as const }),
          })),
        })),
      },
    },
  ];
}

// What a report says of training runs beside their curves: results, costs, versions.
import { basename } from 'node:path';
import { type KeepLine, readRunSamples, type TrainingRun } from '../artifacts/training-run.js';
import { grouped } from '../base/group.js';
import { bestOf } from '../training/choose.js';
import type { NamedRun } from './curves.js';
import type { Cell, Section } from './report.js';
import type { Speaker } from './side-by-side.js';

/**
 * The kept checkpoint that is a run's result, as far as its metrics tell: of the last stage, by the rule of its
 * settings.
 */
export function bestOfRun({ evaluations, keeps, settings }: TrainingRun) {
  const stage = evaluations.at(-1)?.stage;
  const keepAt = (step: number): KeepLine | undefined =>
    keeps.find((line) => line.stage === stage && line.step === step);
  const candidates = evaluations
    .filter((line) => line.stage === stage)
    .map((line) => ({ ...line, keep: keepAt(line.step), keepAverage: keepAt(line.step)?.keepAverage }));
  if (candidates.length === 0) return undefined;
  const before = keepAt(0);
  const tolerance = Number(settings['keep.tolerance'] ?? 'null');
  const rule = before && !Number.isNaN(tolerance) ? { before: before.keepAverage, tolerance } : undefined;
  const choose = settings.choose === 'one-standard-error' ? 'one-standard-error' : 'highest-score';
  const { step } = bestOf(candidates, { choose, keep: rule });
  return { best: candidates.find((candidate) => candidate.step === step)!, before };
}

/** What each run is and where it came to, on its target and on the tasks of its keep list. */
export function runSection(runs: readonly NamedRun[]): Section {
  const results = runs.map(({ run }) => bestOfRun(run));
  const keepTasks = [...new Set(results.flatMap((result) => result?.best.keep?.keep.map(({ task }) => task) ?? []))];
  const columns = ['run', 'method', 'task', 'best step', 'validation score', 'validation loss'];
  return {
    heading: 'Training runs',
    table: {
      columns: [...columns, ...keepTasks, ...(keepTasks.length > 0 ? ['mean of the others'] : [])],
      lowerIsBetter: ['validation loss'],
      rows: runs.map(({ name, run }, i) => {
        const result = results[i];
        const kept = (value: number | undefined, start: number | undefined): Cell =>
          value === undefined ? {} : { value, difference: start === undefined ? undefined : value - start };
        const scoreOf = (line: KeepLine | undefined, task: string) =>
          line?.keep.find((one) => one.task === task)?.score;
        return {
          name,
          cells: [
            { text: run.method },
            { text: run.task },
            { value: result?.best.step, digits: 0 },
            { value: result?.best.score },
            { value: result?.best.evalLoss, digits: 3 },
            ...keepTasks.map((task) => kept(scoreOf(result?.best.keep, task), scoreOf(result?.before, task))),
            ...(keepTasks.length > 0 ? [kept(result?.best.keepAverage, result?.before?.keepAverage)] : []),
          ],
        };
      }),
      note:
        'The validation split chose the step, so its score is a little too high.' +
        (keepTasks.length > 0
          ? ' Other tasks: at that step, without a prompt; signed numbers: difference to step 0.'
          : ''),
    },
  };
}

/** Its outputs on the validation split at the checkpoint that is its result. */
export function saidInRun({ name, run }: NamedRun): Speaker {
  const result = bestOfRun(run);
  const samples = result ? readRunSamples(run.folder, result.best.stage, result.best.step) : [];
  return { name, tasks: new Map(samples.length > 0 ? [[run.task, samples]] : []) };
}

/** Steps, time and memory of each stage. */
export function costSection(runs: readonly NamedRun[]): Section {
  return {
    heading: 'Costs',
    table: {
      columns: ['run and stage', 'steps', 'minutes of training', 'tokens per second', 'memory, GB'],
      lowerIsBetter: [],
      rows: runs.flatMap(({ name, run }) =>
        [...grouped(run.steps, ({ stage, task }) => [stage, ...(task === undefined ? [] : [task])].join(' '))].map(
          ([part, steps]) => {
            const { step, elapsed } = steps.at(-1)!;
            const tokens = steps.reduce((sum, line) => sum + line.tokensPerSecond, 0) / steps.length;
            return {
              name: `${name}, ${part}`,
              cells: [
                { value: step, digits: 0 },
                { value: elapsed / 60 },
                { value: tokens, digits: 0 },
                { value: Math.max(...steps.map(({ memory }) => memory)) / 1e9, digits: 2 },
              ],
            };
          },
        ),
      ),
      note:
        'Evaluations at the checkpoints are not counted. Memory: the most that the process held at the end of a ' +
        'step.',
    },
  };
}

/** What the runs were made with; once where it was the same for all. */
export function versions(runs: readonly NamedRun[]): (readonly [string, string])[] {
  const facts = runs.map(({ name, run }) => {
    const { model, environment } = run;
    const { date, ...machine } = environment;
    return {
      name,
      model,
      date,
      machine: Object.entries(machine)
        .map(([key, value]) => `${key} ${value}`)
        .join(', '),
    };
  });
  const one = new Set(facts.map(({ machine }) => machine)).size === 1;
  return [
    ...facts.map(({ name, model }) => [`model of ${name}`, basename(model)] as const),
    ...facts.flatMap(({ name, date }) => (typeof date === 'string' ? [[`date of ${name}`, date] as const] : [])),
    ...(one ? facts.slice(0, 1) : facts).map(
      ({ name, machine }) => [one ? 'machine' : `machine of ${name}`, machine] as const,
    ),
  ];
}

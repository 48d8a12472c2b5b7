// `promot compare`: results of several evaluations side by side.

import { alignedTable } from '@promot/core/base';
import type { ComparedScore, ComparedTask, Comparison } from '@promot/core/evaluation';
import { Command } from 'commander';
import { answer, type Io } from './io.js';
import { wholeNumber } from './options.js';

export function compareCommand(io: Io): Command {
  return new Command('compare')
    .description('Set evaluations side by side, each with its difference to the first and how sure that is.')
    .argument('<DIR...>', 'folders that promot eval --out wrote, two or more')
    .option('--show <N>', 'changed outputs to show of each task', wholeNumber(0), 3)
    .option('--json', 'print one JSON object on standard output')
    .action(async (folders: string[], { show, json }: { show: number; json?: boolean }) => {
      const { compareResults } = await import('@promot/core/evaluation');
      const comparison = compareResults(folders, show);
      answer(io, json, comparison, () => page(comparison));
    });
}

const letter = (i: number) => (i < 26 ? String.fromCharCode(65 + i) : `#${i + 1}`);

function page({ folders, tasks, settings, averages }: Comparison): string {
  const names = folders.map((folder, i) => `${letter(i)}  ${folder}`);
  const differing = Object.entries(settings).map(([key, values]) => [
    key,
    ...values.map((value) => (value === null ? '-' : String(value).slice(0, 40))),
  ]);
  const header = ['task', 'metric', 'n', ...folders.map((_, i) => letter(i)), 'changed'];
  const row = (task: ComparedTask, metric: string, scores: readonly (ComparedScore | null)[], digits: number) => [
    task.task,
    metric,
    String(task.n),
    ...scores.map((score) => cell(score, digits)),
    `${task.changed}`,
  ];
  const rows = tasks.flatMap((task) => [
    row(task, task.metric, task.scores, 2),
    ...(task.others ?? []).map(({ metric, scores }) => row(task, metric, scores, 2)),
    ...(task.nll ? [row(task, 'nll', task.nll, 4)] : []),
  ]);
  const average = averages ? [['average', '', '', ...averages.map((value) => value.toFixed(2)), '']] : [];
  const notes = tasks.flatMap(({ task, notes: own }) => own.map((note) => `note: ${task}: ${note}`));
  return [
    ...names,
    '',
    alignedTable([header, ...rows, ...average]),
    'Differences to the first; in brackets the p-value of a paired bootstrap, * below 0.05.',
    ...notes,
    ...(differing.length > 0 ? ['', 'Settings that differ:', alignedTable(differing)] : []),
    ...tasks.flatMap(changes),
  ].join('\n');
}

function cell(score: ComparedScore | null, digits: number): string {
  if (score === null) return '-';
  const value = score.score.toFixed(digits);
  if (score.difference === undefined) return value;
  const sign = score.difference < 0 ? '' : '+';
  const sure = score.pValue! < 0.05 ? '*' : '';
  return `${value} ${sign}${score.difference.toFixed(digits)}${sure} (${score.pValue!.toFixed(3)})`;
}

/** Only the end of a long prompt: what is asked stands there. */
const promptEnd = 300;

function changes({ task, changed, n, changes: some }: ComparedTask): string[] {
  if (some.length === 0) return [];
  return [
    '',
    `${task}: ${changed} of ${n} outputs are not the same in all`,
    ...some.flatMap(({ input, references, outputs }) => [
      '',
      `  ${input.length > promptEnd ? '...' : ''}${JSON.stringify(input.slice(-promptEnd))}`,
      `    reference  ${references.map((text) => JSON.stringify(text)).join(' or ')}`,
      ...outputs.map((output, i) => `    ${letter(i).padEnd(9)}  ${JSON.stringify(output)}`),
    ]),
  ];
}

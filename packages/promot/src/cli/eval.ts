// `promot eval`: the scores of a model on tasks.

import { alignedTable, UserError } from '@promot/core/base';
import type { TaskResult } from '@promot/core/evaluation';
import { adapterName, adapterOfTask, taskBeside } from '@promot/core/open';
import { loadTask } from '@promot/core/tasks';
import { Command } from 'commander';
import { evalText } from './eval-text.js';
import { untilInterrupted } from './interrupt.js';
import { answer, type Io, note } from './io.js';
import { observer } from './observe.js';
import { checkPlaces } from './open.js';
import {
  type CommonOptions,
  dataOption,
  modelOption,
  promptOption,
  requireFlags,
  wholeNumber,
  withCommonOptions,
  wordList,
} from './options.js';
import { Progress } from './progress.js';
import { inRanks } from './ranks.js';
import { readKnownSettings, samplingSettings } from './settings.js';
import { useTorch } from './torch.js';

interface Options extends CommonOptions {
  readonly model: string;
  readonly prompt?: string;
  readonly task?: string[];
  readonly text?: string[];
  readonly base?: string;
  readonly shots: number;
  readonly limit?: number;
  readonly data?: string;
  readonly out?: string;
  readonly beams?: number;
  readonly seed?: number;
  readonly labels?: string[];
}

const keys = [
  'precision',
  'device',
  'batchSize',
  'beams',
  'maxNewTokens',
  'lengthPenalty',
  'maxInputLength',
  ...samplingSettings,
  'decide',
  'nll',
] as const;

export function evalCommand(io: Io): Command {
  const command = new Command('eval')
    .description('Evaluate a model on tasks; the soft prompt is attached only where it is given.')
    .addOption(modelOption())
    .addOption(promptOption())
    .option('--task <T,...>', 'built-in tasks or YAML files, see docs/reference/tasks.md', wordList)
    .option(
      '--text <FILE,...>',
      'in place of tasks: bits a byte of plain text (.txt, or records with a field text)',
      wordList,
    )
    .option('--base <M>', 'with --text: how far the model is from this one, which it was made from')
    .option('--shots <K>', 'exemplars from the training split in front of each input', wholeNumber(0), 0)
    .option('--limit <N>', 'only the first N examples', wholeNumber(1))
    .addOption(dataOption())
    .option('--out <DIR>', 'write results.json and samples-TASK.jsonl there; go on with what is there')
    .option('--beams <N>', 'beams; 1 is greedy search (default: 4)', wholeNumber(1))
    .option('--seed <N>', 'draws the exemplars, and tokens where the settings say so (default: 0)', wholeNumber(0))
    .option('--labels <WORDS>', 'report the share of outputs that begin with one of these, e.g. True,False', wordList);
  return requireFlags(withCommonOptions(command), '--model').action(
    inRanks(io, async ({ task: names, text, base, ...given }: Options) => {
      if ((names === undefined) === (text === undefined)) throw new UserError('name either --task or --text');
      if (text) {
        const idle = ['shots', 'data', 'out', 'beams', 'seed', 'labels'].find(
          (flag) => command.getOptionValueSource(flag) === 'cli',
        );
        if (idle !== undefined) throw new UserError(`--${idle} goes with --task`);
        return evalText(io, { ...given, text, base });
      }
      if (base !== undefined) throw new UserError('--base goes with --text');
      await evalTasks(io, names!, given);
    }),
  );
}

type TaskFlags = Omit<Options, 'task' | 'text' | 'base'>;

async function evalTasks(
  io: Io,
  names: readonly string[],
  { config, set, json, ...options }: TaskFlags,
): Promise<void> {
  const settings = readKnownSettings({ config, set }, keys);
  if (options.labels?.length === 0) throw new UserError('--labels names no word, such as --labels True,False');
  const progress = new Progress(io);
  for (const name of names) {
    const path = await taskBeside(options.model, name);
    const adapter = options.prompt === undefined ? await adapterOfTask(options.model, path) : undefined;
    if (adapter !== undefined)
      progress.line(
        `note: ${name} is asked without the run's ${adapterName(adapter)}. --prompt ${adapter} attaches it`,
      );
    const task = await loadTask(path, {
      data: options.data,
      hub: { onEvent: observer(progress) },
    });
    // Data at fault and downloads come before libtorch does.
    await task.load(task.evaluationSplit);
  }
  await checkPlaces(options.model, options.prompt, progress);
  const { evaluateTasks } = await import('@promot/core/evaluation');
  await useTorch();
  const { result: evaluated, exitCode } = await untilInterrupted(progress, 'Finishing the batch', (signal) =>
    evaluateTasks({
      ...settings,
      ...options,
      tasks: names,
      hub: { onEvent: observer(progress) },
      signal,
      onEvent: observer(progress),
    }).catch((error) => {
      if (signal.aborted) return undefined;
      throw error;
    }),
  );
  if (evaluated === undefined) {
    const { out } = options;
    note(io, out === undefined ? 'Stopped.' : `Stopped. The same command goes on with the answers in ${out}.`);
    io.exitCode = exitCode;
    return;
  }
  const { tasks, average } = evaluated;
  const results = tasks.map(({ samples, ...result }) => result);
  const [only] = results;
  const report = results.length === 1 ? only! : { tasks: results, average };
  const where = options.out !== undefined && { out: options.out };
  answer(io, json, { ...report, ...where }, () => (results.length === 1 ? page(only!) : table(results, average!)));
  if (options.out !== undefined && !json) note(io, `written to ${options.out}`);
}

type Bare = Omit<TaskResult, 'samples'>;

const range = ({ low, high }: Bare['interval']) => `${low.toFixed(2)} to ${high.toFixed(2)}`;

/** One task, at length. */
function page(result: Bare): string {
  const { task, version, split, n, shots, labels, formShare, likelihood } = result;
  const scores = result.metrics ?? [result];
  const rows = [
    ['task', `${task}@${version}, ${split} split, ${shots}-shot, n ${n}`],
    ...scores.map(({ metric, score, interval }) => [metric, `${score.toFixed(2)}  (95 % interval ${range(interval)})`]),
    ...(likelihood
      ? [
          ['generated', result.generation!.toFixed(2)],
          ['by likelihood', `${likelihood.raw.toFixed(2)} raw, ${likelihood.perToken.toFixed(2)} per token`],
        ]
      : []),
    ...(result.nll === undefined
      ? []
      : [['nll', `${result.nll.toFixed(4)} nats per token of the references  (${range(result.nllInterval!)})`]]),
    ...(labels ? [['form share', `${formShare!.toFixed(2)} % of the outputs begin with ${labels.join(' or ')}`]] : []),
    ...scores.map(({ signature }) => ['signature', signature]),
    ...result.notes.map((text) => ['note', text]),
  ];
  return alignedTable(rows);
}

/** Several tasks, a line each. */
function table(results: readonly Bare[], average: number): string {
  const show = (value: number | undefined, digits = 2) => (value === undefined ? '' : value.toFixed(digits));
  const columns: [title: string, cell: (result: Bare) => string][] = [
    ['task', ({ task, version }) => `${task}@${version}`],
    ['shots', ({ shots }) => String(shots)],
    ['metric', ({ metric }) => metric],
    ['score', ({ score }) => show(score)],
    ['95 % interval', ({ interval }) => range(interval)],
    ['n', ({ n }) => String(n)],
    ['generated', ({ generation }) => show(generation)],
    ['likelihood', ({ likelihood }) => show(likelihood?.raw)],
    ['per token', ({ likelihood }) => show(likelihood?.perToken)],
    ['form %', ({ formShare }) => show(formShare)],
    ['nll', ({ nll }) => show(nll, 4)],
  ];
  const shown = columns.filter(([, cell]) => results.some((result) => cell(result) !== ''));
  const rows = [shown.map(([title]) => title), ...results.map((result) => shown.map(([, cell]) => cell(result)))];
  const notes = results.flatMap(({ task, notes: own }) => own.map((text) => `note: ${task}: ${text}`));
  const signatures = results.map(({ task, signature }) => `${task}: ${signature}`);
  const others = results.flatMap(({ task, metrics = [] }) =>
    metrics.slice(1).map(({ metric, score, signature }) => `${task}: ${metric} ${show(score)}, ${signature}`),
  );
  return [alignedTable(rows), '', `normalised average ${show(average)}`, ...notes, ...signatures, ...others].join('\n');
}

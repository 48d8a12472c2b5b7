// `promot eval`: the score of a model on a task.
import { Command } from 'commander';
import type { TaskResult } from '../evaluation/evaluate-task.js';
import { loadTask } from '../tasks/registry.js';
import { answer, type Io, note } from './io.js';
import { checkPlaces } from './open.js';
import {
  type CommonOptions,
  dataOption,
  modelOption,
  promptOption,
  requireFlags,
  taskOption,
  wholeNumber,
  withCommonOptions,
  wordList,
} from './options.js';
import { Progress } from './progress.js';
import { readKnownSettings } from './settings.js';

interface Options extends CommonOptions {
  readonly model: string;
  readonly prompt?: string;
  readonly task: string;
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
  'batchSize',
  'beams',
  'maxNewTokens',
  'lengthPenalty',
  'maxInputLength',
  'seed',
  'decide',
] as const;

export function evalCommand(io: Io): Command {
  const command = new Command('eval')
    .description('Evaluate a model on a task; the soft prompt is attached only where it is given.')
    .addOption(modelOption())
    .addOption(promptOption())
    .addOption(taskOption())
    .option('--shots <K>', 'exemplars from the training split in front of each input', wholeNumber(0), 0)
    .option('--limit <N>', 'only the first N examples', wholeNumber(1))
    .addOption(dataOption())
    .option('--out <DIR>', 'write results.json and samples-TASK.jsonl there')
    .option('--beams <N>', 'beams; 1 is greedy search (default: 4)', wholeNumber(1))
    .option('--seed <N>', 'draws the exemplars (default: 0)', wholeNumber(0))
    .option('--labels <WORDS>', 'report the share of outputs that begin with one of these, e.g. True,False', wordList);
  return requireFlags(withCommonOptions(command), '--model', '--task').action(
    async ({ config, set, json, ...options }: Options) => {
      const settings = readKnownSettings({ config, set }, keys);
      const progress = new Progress(io);
      const task = await loadTask(options.task, { data: options.data, hub: progress.hub });
      // Data at fault and downloads come before libtorch does.
      await task.load(task.evaluationSplit);
      await checkPlaces(options.model, options.prompt, progress);
      const { evaluate } = await import('../evaluation/evaluate-task.js');
      const { samples, ...result } = await evaluate({
        ...settings,
        ...options,
        hub: progress.hub,
        onWarning: (text) => note(io, `note: ${text}`),
        onProgress: (done, total) => progress.update(options.task, done, total),
      });
      progress.stop();
      answer(io, json, { ...result, ...(options.out !== undefined && { out: options.out }) }, () => table(result));
    },
  );
}

function table(result: Omit<TaskResult, 'samples'>): string {
  const { task, version, split, metric, score, interval, n, shots, labels, formShare, likelihood } = result;
  const rows = [
    ['task', `${task}@${version}, ${split} split, ${shots}-shot, n ${n}`],
    [
      metric,
      `${score.toFixed(2)}  (95 % interval of the generated answers ${interval.low.toFixed(2)} to ${interval.high.toFixed(2)})`,
    ],
    ...(likelihood
      ? [['by likelihood', `${likelihood.raw.toFixed(2)} raw, ${likelihood.perToken.toFixed(2)} per token`]]
      : []),
    ...(labels ? [['form share', `${formShare!.toFixed(2)} % of the outputs begin with ${labels.join(' or ')}`]] : []),
    ['signature', result.signature],
    ...result.notes.map((text) => ['note', text]),
  ] as [string, string][];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows.map(([name, value]) => name.padEnd(width) + value).join('\n');
}

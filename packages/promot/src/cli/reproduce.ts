// `promot reproduce`: every table and figure of the paper; alone, what there is and what it costs.

import { alignedTable, didYouMean, UserError } from '@promot/core/base';
import { configKeys, defaultConfig, resolveConfig } from '@promot/core/train';
import { Command } from 'commander';
import { z } from 'zod';
import type { List } from '../experiments/cost.js';
import type { Outlook, ReproduceRequest } from '../experiments/reproduce.js';
import { scales } from '../experiments/scales.js';
import { untilInterrupted } from './interrupt.js';
import { answer, type Io } from './io.js';
import { observer } from './observe.js';
import { type CommonOptions, dataOption, withCommonOptions, wordList } from './options.js';
import { duration, Progress } from './progress.js';
import { inRanks } from './ranks.js';
import { readSettings, type Settings } from './settings.js';
import { useTorch } from './torch.js';

interface Options extends CommonOptions {
  readonly scale: string;
  readonly model?: string;
  readonly out?: string;
  readonly data?: string;
  readonly methods?: readonly string[];
  readonly shots?: readonly number[];
  readonly only?: readonly string[];
  readonly dryRun?: boolean;
}

export function reproduceCommand(io: Io): Command {
  const command = new Command('reproduce')
    .description('Reproduce a table or figure of the paper; without a name, list them all with what they cost.')
    .argument('[name]', 'rte, table-3, figure-1, ..., or real: the claim on a real model')
    .option('--scale <S>', scales.map(({ name, about }) => `${name}: ${about}`).join('; '), 'lab')
    .option('--model <M>', "in place of the scale's models")
    .option(
      '--out <DIR>',
      'runs, evaluations and reports; experiments that share it share runs (default: reproduce/SCALE)',
    )
    .addOption(dataOption())
    .option('--methods <LIST>', 'only these rows or lines: pretrained,fine-tune,promot', wordList)
    .option('--shots <LIST>', 'other tasks only with so many exemplars: 1', (text) => wordList(text).map(Number))
    .option(
      '--only <LIST>',
      'of `real`: only these targets (snli), groups (first, rivals, why) and arms (promot-0.00001)',
      wordList,
    )
    .option('--dry-run', 'say what would be done and how long it should take');
  const act = async (name: string | undefined, options: Options) => {
    const { scale, model, out = `reproduce/${scale}`, data, methods, shots, json } = options;
    const foreign = name === 'real' ? (['scale', 'methods', 'shots'] as const) : (['only'] as const);
    for (const option of foreign)
      if (command.getOptionValueSource(option) === 'cli')
        throw new UserError(`reproduce ${name ?? ''}: it has no --${option}`);
    if (name === 'real') {
      const { reproduceReal } = await import('./reproduce-real.js');
      return reproduceReal(io, options);
    }
    const settings = readReproduceSettings(options);
    if (name === undefined) {
      const { listExperiments } = await import('../experiments/cost.js');
      const list = listExperiments();
      answer(io, json, list, () => describeList(list));
      return;
    }
    const request: ReproduceRequest = { ...settings, name, scale, model, out, data, methods, shots };
    await useTorch();
    const { outlook, reproduce } = await import('../experiments/reproduce.js');
    const before = outlook(request);
    if (options.dryRun) {
      answer(io, json, before, () => describeOutlook(before));
      return;
    }
    const progress = new Progress(io);
    progress.line(summary(before));
    const { result, exitCode } = await untilInterrupted(progress, 'Finishing the step and saving', (signal) =>
      reproduce({
        ...request,
        signal,
        onEvent: observer(progress),
      }),
    );
    if (!result.finished) io.exitCode = exitCode;
    answer(io, json, result, () =>
      result.finished ? result.files.join('\n') : `Stopped and saved in ${out}; the same command goes on.`,
    );
  };
  return withCommonOptions(command).action((name: string | undefined, options: Options) => {
    if (name === undefined) return act(name, options);
    const { out = `reproduce/${name === 'real' ? name : options.scale}` } = options;
    return inRanks(io, (one: Options) => act(name, one))({ ...options, out });
  });
}

/** Keys that are not the training's. */
const own = { seeds: z.int().positive(), limit: z.int().positive() };
/** What tells experiments and their methods apart is not for a person to set. */
const fixed = ['seed', 'shots', 'promptInit', 'loraRank', 'replay.', 'keep.'];

function readReproduceSettings(options: CommonOptions): Pick<ReproduceRequest, 'seeds' | 'limit' | 'settings'> {
  const known = [...Object.keys(own), ...configKeys().filter((key) => !fixed.some((one) => key.startsWith(one)))];
  const defaults = defaultConfig('encoder-decoder', false);
  const all = readSettings(options, (one) => {
    const [key, value] = leafOf(one);
    const check = own[key as keyof typeof own];
    if (check) {
      const parsed = check.safeParse(value);
      if (!parsed.success) throw new UserError(`setting ${key}: ${parsed.error.issues[0]!.message}`);
    } else if (!known.includes(key))
      throw new UserError(
        `unknown setting ${key}${didYouMean(key, known) || `; this command has ${known.join(', ')}`}`,
      );
    else resolveConfig(defaults, one);
  });
  const { seeds, limit, ...settings } = all as Settings & { seeds?: number; limit?: number };
  return { seeds, limit, settings };
}

/** The one value of nested settings, under its dotted key. */
function leafOf(settings: Settings): [key: string, value: unknown] {
  const [[key, value]] = Object.entries(settings) as [[string, unknown]];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [key, value];
  const [inner, leaf] = leafOf(value as Settings);
  return [`${key}.${inner}`, leaf];
}

function describeList({ experiments, scales: all }: List): string {
  // Scales differ in time, not in what there is to do.
  const rows = experiments.map(({ name, shows, costs }) => {
    const { runs, evaluations } = costs[all[0]!.name]!;
    const times = all.map((scale) => duration(costs[scale.name]!.seconds));
    return [name, String(runs), String(evaluations), ...times, shows];
  });
  return [
    alignedTable([['name', 'runs', 'evaluations', ...all.map(({ name }) => name), 'shows'], ...rows]),
    '',
    ...all.map(
      ({ name, about, machine, all: cost }) =>
        `${name}: ${about}. Estimated for ${machine}; all together, shared runs once: ${duration(cost.seconds)}.`,
    ),
    'Costs are for one seed (--set seeds=5 for five). promot reproduce NAME --dry-run shows what is to be done.',
  ].join('\n');
}

function summary({ name, scale, model, all, left }: Outlook): string {
  return (
    `${name} at scale ${scale} on ${model}: ${all.runs} training runs (${all.runs - left.runs} done), ` +
    `${all.evaluations} evaluations (${all.evaluations - left.evaluations} done), about ${duration(left.seconds)} to go`
  );
}

function describeOutlook(outlook: Outlook): string {
  const rows = outlook.jobs.map(({ kind, name, seconds, done }) => [
    done ? 'done' : `about ${duration(seconds)}`,
    kind,
    name,
  ]);
  return [alignedTable(rows), '', summary(outlook)].join('\n');
}

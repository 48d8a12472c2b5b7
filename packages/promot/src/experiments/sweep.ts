// A sweep: one run for each combination of settings and each seed, in one folder, and a report that compares them.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { readTrainingRun } from '@promot/core/artifacts';
import { makeFolder, RandomStream, readJson, UserError, writeText } from '@promot/core/base';
import { findMethod } from '@promot/core/methods';
import { bestOfRun, type Cell, runReport, type Table, writeReport } from '@promot/core/report';
import { loadTask } from '@promot/core/tasks';
import { defaultConfig, resolveConfig } from '@promot/core/train';
import { z } from 'zod';
import { execute, type Told } from './execute.js';
import { ExperimentFolder } from './folder.js';
import { measureOf } from './numbers.js';
import type { RunJob } from './plan.js';

const word = z.string().min(1);
const values = z.array(z.union([z.string(), z.number(), z.boolean(), z.null()])).min(1);
const range = z.strictObject({
  from: z.number(),
  to: z.number(),
  /** Drawn so that each factor of ten is as likely as the next. */
  log: z.boolean().default(false),
});

/** What a sweep's file says; all else in it are settings of every run. */
const sweepSchema = z.looseObject({
  // The grid may vary these three instead.
  model: word.optional(),
  task: z.union([word, z.array(word).min(1)]).optional(),
  method: word.optional(),
  out: word.optional(),
  data: word.optional(),
  sweep: z
    .strictObject({
      /** Keys and the values that each takes: every combination is a run. */
      grid: z.record(word, values).optional(),
      /** Keys and what they are drawn from, for so many `runs`. */
      random: z.record(word, z.union([values, range])).optional(),
      runs: z.int().positive().max(10_000).optional(),
      /** How many (0, 1, ...), or which. */
      seeds: z.union([z.int().positive().max(1000), z.array(z.int().nonnegative()).min(1)]).default(1),
      /** Of what is drawn. */
      seed: z.int().nonnegative().default(0),
    })
    .refine(({ grid, random }) => (grid === undefined) !== (random === undefined), 'give grid or random, not both')
    .refine(({ random, runs }) => (random === undefined) === (runs === undefined), 'runs says how often random draws'),
});

type Value = string | number | boolean | null;
/** One combination: what varies, by key. */
export type Combination = Readonly<Record<string, Value>>;

interface Sweep {
  readonly out: string;
  readonly data?: string;
  /** What all runs have in common. */
  readonly fixed: Readonly<Record<string, unknown>>;
  readonly combinations: readonly Combination[];
  readonly jobs: readonly (RunJob & { readonly combination: Combination })[];
}

export interface SweepRequest extends Told {
  /** What the file of a sweep says, see docs/reference/commands.md. */
  readonly config: Readonly<Record<string, unknown>>;
  /** In place of the file's. */
  readonly out?: string;
  readonly data?: string;
  readonly signal?: AbortSignal;
}

/** The runs of a sweep. Errors: a UserError for a file that is wrong. */
export function planSweep({
  config,
  out: otherOut,
  data: otherData,
}: Pick<SweepRequest, 'config' | 'out' | 'data'>): Sweep {
  const parsed = sweepSchema.safeParse({ ...config, sweep: withDottedKeys(config.sweep) });
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    if (config.sweep === undefined)
      throw new UserError('the part `sweep` is missing, which says what varies (see docs/reference/commands.md)');
    throw new UserError(`${path.join('.') || 'the sweep'}: ${message}`);
  }
  const { sweep, out: fileOut, data: fileData, ...fixed } = parsed.data;
  const out = otherOut ?? fileOut;
  if (out === undefined) throw new UserError('a sweep needs a folder: --out DIR, or out in its file');
  const { seeds } = sweep;
  const combinations = sweep.grid ? gridOf(sweep.grid) : drawn(sweep.random!, sweep.runs!, sweep.seed);
  const jobs = combinations.flatMap((combination) =>
    (typeof seeds === 'number' ? Array.from({ length: seeds }, (_, seed) => seed) : seeds).map((seed) =>
      jobOf(fixed, combination, seed),
    ),
  );
  const twice = jobs.find(({ name }, i) => jobs.findIndex((job) => job.name === name) !== i);
  if (twice) throw new UserError(`the sweep has the run ${twice.name} twice`);
  // Before hours of training, not after them.
  for (const { method, settings } of jobs)
    resolveConfig(defaultConfig('encoder-decoder', false, findMethod(method)), settings);
  const data = otherData ?? fileData;
  return { out, ...(data !== undefined && { data }), fixed, combinations, jobs };
}

/** Keys of `grid` and `random` may be nested or dotted; here they become dotted. */
function withDottedKeys(sweep: unknown): unknown {
  if (!isGroup(sweep)) return sweep;
  const dotted = (group: unknown): unknown => (isGroup(group) ? Object.fromEntries(leavesOf(group, '')) : group);
  return Object.fromEntries(
    Object.entries(sweep).map(([key, value]) => [key, key === 'grid' || key === 'random' ? dotted(value) : value]),
  );
}

function leavesOf(group: Readonly<Record<string, unknown>>, prefix: string): [string, unknown][] {
  return Object.entries(group).flatMap(([key, value]) =>
    isGroup(value) && !('from' in value) ? leavesOf(value, `${prefix}${key}.`) : [[`${prefix}${key}`, value]],
  );
}

function isGroup(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Every combination, the last key's values nearest to each other. */
function gridOf(grid: Readonly<Record<string, readonly Value[]>>): Combination[] {
  return Object.entries(grid).reduce<Combination[]>(
    (all, [key, options]) => all.flatMap((one) => options.map((value) => ({ ...one, [key]: value }))),
    [{}],
  );
}

/** Combinations that are a function of the seed and their number. */
function drawn(
  random: Readonly<Record<string, readonly Value[] | z.infer<typeof range>>>,
  runs: number,
  seed: number,
): Combination[] {
  return Array.from({ length: runs }, (_, run) =>
    Object.fromEntries(
      Object.entries(random).map(([key, from], place) => {
        const stream = new RandomStream(seed, run, place);
        if ('length' in from) return [key, from[stream.integer(from.length)]!];
        const share = stream.next() / 2 ** 32;
        const { from: low, to: high, log } = from;
        if (log && low <= 0) throw new UserError(`sweep.random.${key}: log needs numbers above 0`);
        const value = log ? low * (high / low) ** share : low + share * (high - low);
        // Three digits tell one run from another, and can be typed.
        return [key, Number(value.toPrecision(3))];
      }),
    ),
  );
}

const runKeys = ['model', 'task', 'method'] as const;

function jobOf(
  fixed: Readonly<Record<string, unknown>>,
  combination: Combination,
  seed: number,
): RunJob & { readonly combination: Combination } {
  const all: Record<string, unknown> = structuredClone(fixed);
  for (const [key, value] of Object.entries(combination)) set(all, key.split('.'), value);
  const { model, task, method, ...settings } = all;
  for (const key of runKeys)
    if (all[key] === undefined) throw new UserError(`${key}: name one, or vary it in the grid`);
  if (typeof method !== 'string') throw new UserError('method: a name is expected');
  const varied = Object.entries(combination).map(([key, value]) =>
    (runKeys as readonly string[]).includes(key) ? String(value) : `${key}=${value}`,
  );
  const name = [...varied, `seed=${seed}`].join(',').replaceAll(/[^\w.,=+-]/gu, '_');
  return {
    kind: 'run',
    name,
    needs: [],
    // Not known: all are taken to cost the same.
    seconds: 1,
    model: String(model),
    tasks: [task].flat().map(String),
    method,
    settings: { ...settings, seed },
    alignment: false,
    combination,
  };
}

function set(target: Record<string, unknown>, [key, ...rest]: readonly string[], value: Value): void {
  if (rest.length === 0) target[key!] = value;
  else {
    const inner = target[key!];
    target[key!] = typeof inner === 'object' && inner !== null ? inner : {};
    set(target[key!] as Record<string, unknown>, rest, value);
  }
}

interface SweptCombination {
  readonly combination: Combination;
  /** Of each seed's best checkpoint: the validation score (0 to 100), the loss, and the mean score of the keep list. */
  readonly scores: readonly number[];
  readonly losses: readonly number[];
  readonly kept: readonly number[];
}

export interface Swept {
  readonly out: string;
  readonly finished: boolean;
  /** Best first; of what is finished. */
  readonly combinations: readonly SweptCombination[];
  /** index.html first. */
  readonly files: readonly string[];
}

/**
 * Trains all runs of a sweep that are not there yet, and writes the report. May be ended by the signal, or killed, and
 * goes on with the same request; several processes may do so at once in one folder of one machine. Errors: those of
 * `planSweep` and `train`.
 *
 * @example
 * await sweep({ config: { model: 'lab', task: 'lab-rte', method: 'fine-tune', out: 'sweep', sweep: {
 *   grid: { 'stage2.learningRate': [0.003, 0.001] }, seeds: 3 } } });
 */
export async function sweep(request: SweepRequest): Promise<Swept> {
  const plan = planSweep(request);
  const { out, data, jobs } = plan;
  const folder = new ExperimentFolder(out);
  await checkFolder(plan);
  const { signal, onEvent } = request;
  const hub = onEvent && { onEvent };
  for (const task of new Set(jobs.flatMap(({ tasks }) => tasks))) await loadTask(task, { data, ...(hub && { hub }) });
  const finished = await execute(jobs, {
    folder,
    ...(data !== undefined && { data }),
    ...(signal && { signal }),
    ...(onEvent && { onEvent }),
  });
  const combinations = plan.combinations
    .map((combination) => ({ combination, ...resultsOf(plan, combination, folder) }))
    .filter(({ scores }) => scores.length > 0)
    .sort((a, b) => mean(b.scores) - mean(a.scores) || mean(a.losses) - mean(b.losses));
  const files = finished ? await writeSweep(plan, combinations, folder) : [];
  return { out, finished, combinations, files };
}

/** Runs of one folder must have the same fixed settings: those that are finished are not done again. */
async function checkFolder({ out, fixed }: Sweep): Promise<void> {
  const path = join(out, 'sweep.json');
  if (existsSync(path)) {
    if (!isDeepStrictEqual(readJson(path, z.looseObject({})), fixed))
      throw new UserError(`${out} holds runs of a sweep with other settings (see its sweep.json): name another folder`);
    return;
  }
  makeFolder(out);
  await writeText(path, `${JSON.stringify(fixed, null, 2)}\n`);
}

function resultsOf(
  { jobs }: Sweep,
  combination: Combination,
  folder: ExperimentFolder,
): Omit<SweptCombination, 'combination'> {
  const bests = jobs
    .filter((job) => job.combination === combination && folder.finished(job))
    .flatMap((job) => bestOfRun(readTrainingRun(folder.of(job)))?.best ?? []);
  return {
    scores: bests.map(({ score }) => score),
    losses: bests.map(({ evalLoss }) => evalLoss),
    kept: bests.flatMap(({ keepAverage }) => keepAverage ?? []),
  };
}

async function writeSweep(
  { out, jobs }: Sweep,
  combinations: readonly SweptCombination[],
  folder: ExperimentFolder,
): Promise<string[]> {
  const best = combinations[0]!;
  const runs = jobs.map((job) => ({ name: job.name, run: readTrainingRun(folder.of(job)) }));
  const report = runReport(runs);
  return writeReport(out, {
    ...report,
    title: `Sweep of ${Object.keys(best.combination).join(', ')}`,
    headline: `Best on validation: ${describeCombination(best.combination)}, ${mean(best.scores).toFixed(1)}.`,
    summary: [
      `${combinations.length} combinations, ${best.scores.length} ${best.scores.length === 1 ? 'seed' : 'seeds'} ` +
        'of each.',
    ],
    sections: [{ heading: 'Combinations', table: sweepTable(combinations) }, ...report.sections],
  });
}

/** A combination in words. */
export function describeCombination(combination: Combination): string {
  return Object.entries(combination)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ');
}

function sweepTable(combinations: readonly SweptCombination[]): Table {
  const keeps = combinations.some(({ kept }) => kept.length > 0);
  const cell = (all: readonly number[], digits: number): Cell => {
    if (all.length === 0) return {};
    const { value, spread } = measureOf(all.map((one) => ({ value: one })));
    return { value, digits, ...(spread !== undefined && { spread }) };
  };
  return {
    columns: ['settings', 'validation score', 'validation loss', ...(keeps ? ['mean of the others'] : []), 'runs'],
    lowerIsBetter: ['validation loss'],
    rows: combinations.map(({ combination, scores, losses, kept }) => ({
      name: describeCombination(combination),
      cells: [cell(scores, 1), cell(losses, 3), ...(keeps ? [cell(kept, 1)] : []), { value: scores.length, digits: 0 }],
    })),
    note:
      'Each run at its best checkpoint; mean and standard deviation over the seeds. The best of many owes ' +
      'something to chance: check it with new seeds.',
  };
}

/** Of one seed or more. */
export function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
}

// Reads what jobs left: scores, likelihoods and outputs of evaluations, lines of runs; and brings several seeds together.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '@promot/core/base';
import type { TaskResult, TaskSample } from '@promot/core/evaluation';
import type { KeepScore } from '@promot/core/train';
import type { ExperimentFolder } from './folder.js';
import type { Evaluation, TrainingRun } from './plan.js';

/** A number with what is known of its uncertainty. */
export interface Measure {
  /** The mean, where there are several seeds. */
  readonly value: number;
  /** Of each seed, in their order; one where training has no part in it. */
  readonly seeds: readonly number[];
  /** Standard deviation over seeds. */
  readonly spread?: number;
  /** 95 %, by bootstrap over the evaluated examples; with several seeds the mean of each end. */
  readonly interval?: readonly [low: number, high: number];
}

/** What one evaluation found. */
export interface Found {
  readonly value: number;
  readonly interval?: readonly [low: number, high: number];
}

/** One value a seed as a measure. What no seed has a part in (a model that nobody trained) comes as one. */
export function measureOf(found: readonly Found[]): Measure {
  const values = found.map(({ value }) => value);
  const mean = meanOf(values);
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const end = (which: 0 | 1) => meanOf(found.map(({ interval }) => interval![which]));
  return {
    value: mean,
    seeds: values,
    ...(values.length > 1 && { spread: Math.sqrt(squares / (values.length - 1)) }),
    ...(found.every(({ interval }) => interval) && { interval: [end(0), end(1)] as const }),
  };
}

export function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * The mean of independent estimates. Its interval: halves add in quadrature, as standard errors do, on each side by itself.
 */
export function meanFound(found: readonly Found[]): Found {
  const value = meanOf(found.map((one) => one.value));
  const half = (end: 0 | 1) =>
    Math.sqrt(found.reduce((sum, one) => sum + (one.interval![end] - one.value) ** 2, 0)) / found.length;
  return {
    value,
    ...(found.every(({ interval }) => interval) && { interval: [value - half(0), value + half(1)] as const }),
  };
}

export type TaskEntry = Omit<TaskResult, 'samples'>;

/** The results of a finished evaluation, by task. */
export function readEvaluation(folder: ExperimentFolder, evaluation: Evaluation): ReadonlyMap<string, TaskEntry> {
  const content = readJson(join(folder.of(evaluation), 'results.json')) as TaskEntry | { tasks: TaskEntry[] };
  const entries = 'tasks' in content ? content.tasks : [content];
  return new Map(entries.map((entry) => [entry.task, entry]));
}

export function readSamples(folder: ExperimentFolder, evaluation: Evaluation, task: string): TaskSample[] {
  return readLines(join(folder.of(evaluation), `samples-${task}.jsonl`)) as TaskSample[];
}

export const scoreOf = ({ score, interval }: TaskEntry): Found => ({
  value: score,
  interval: [interval.low, interval.high],
});

export const nllOf = ({ nll, nllInterval }: TaskEntry): Found => ({
  value: nll!,
  interval: [nllInterval!.low, nllInterval!.high],
});

/** A watched task at a checkpoint. Runs of earlier versions have no intervals. */
export type Kept = Omit<KeepScore, 'interval' | 'nllInterval'> & Partial<Pick<KeepScore, 'interval' | 'nllInterval'>>;

/** A checkpoint of the stage that trains the model, as metrics.jsonl tells of it. Step 0 has no score. */
export interface Checkpoint {
  readonly step: number;
  /** On the target's validation split. */
  readonly score?: number;
  /** The watched tasks. */
  readonly keep: readonly Kept[];
  /** Cosines of the gradient with the format gradient, by parameter group. */
  readonly alignment: Readonly<Record<string, number>>;
}

interface Line {
  readonly stage: string;
  readonly step: number;
  readonly evalLoss?: number;
  readonly keep?: readonly Kept[];
  readonly alignment?: { readonly groups: Readonly<Record<string, { readonly cosine?: number }>> };
}

/** The course of a finished run, by steps. `metric` is the target's. */
export function readCourse(folder: ExperimentFolder, run: TrainingRun, metric: string): Checkpoint[] {
  const lines = readLines(join(folder.of(run), 'metrics.jsonl')) as Line[];
  const ofModel = lines.filter(({ stage, ...line }) => stage === 'model' && !('tokensPerSecond' in line));
  const steps = [...new Set(ofModel.map(({ step }) => step))].sort((a, b) => a - b);
  return steps.map((step) => {
    const own = ofModel.filter((line) => line.step === step);
    const validation = own.find(({ evalLoss }) => evalLoss !== undefined) as Record<string, number> | undefined;
    const groups = own.find(({ alignment }) => alignment)?.alignment?.groups ?? {};
    return {
      step,
      ...(validation && { score: validation[metric]! }),
      keep: own.find(({ keep }) => keep)?.keep ?? [],
      alignment: Object.fromEntries(
        Object.entries(groups).flatMap(([group, { cosine }]) => (cosine === undefined ? [] : [[group, cosine]])),
      ),
    };
  });
}

function readJson(path: string): unknown {
  return parse(readText(path), path);
}

function readLines(path: string): unknown[] {
  return readText(path)
    .split('\n')
    .slice(0, -1)
    .map((line, i) => parse(line, `${path} line ${i + 1}`));
}

function readText(path: string): string {
  if (!existsSync(path)) throw new UserError(`${path} is missing: delete its folder, and the job is done again`);
  return readFileSync(path, 'utf8');
}

function parse(text: string, place: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UserError(`${place}: not JSON: delete its folder, and the job is done again`);
  }
}

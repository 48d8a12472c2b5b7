// Reads what jobs left: scores, likelihoods and outputs of evaluations, lines of runs; and brings several seeds
// together.
import {
  type KeepLine,
  readResults,
  readSamples,
  readTrainingRun,
  type SampleLine,
  type StoredResult,
  samplesPath,
} from '@promot/core/artifacts';
import { reworded, UserError } from '@promot/core/base';
import { z } from 'zod';
import type { ExperimentFolder } from './folder.js';
import type { EvaluationJob, RunJob } from './plan.js';

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
 * The mean of independent estimates. Its interval: halves add in quadrature, as standard errors do, on each side by
 * itself.
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

/** The results of a finished evaluation, by task. Errors: a UserError for files that are missing or damaged. */
export function readEvaluationJob(
  folder: ExperimentFolder,
  evaluation: EvaluationJob,
): ReadonlyMap<string, StoredResult> {
  const { tasks } = ofJob(() => readResults(folder.of(evaluation)));
  return new Map(tasks.map((result) => [result.task, result]));
}

/** What a finished evaluation's model said on a task. Errors as of `readEvaluationJob`. */
export function readSamplesOf(folder: ExperimentFolder, evaluation: EvaluationJob, task: string): SampleLine[] {
  return ofJob(() => {
    const path = samplesPath(folder.of(evaluation), task);
    const samples = readSamples(path);
    if (samples.length === 0) throw new UserError(`${path} is missing or empty`);
    return samples;
  });
}

const again = 'delete its folder, and the job is done again';

/** What a person can do about a job's files that are at fault. */
function ofJob<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw reworded(error, (message) => `${message}: ${again}`);
  }
}

export const scoreOf = ({ score, interval }: StoredResult): Found => ({
  value: score,
  interval: [interval!.low, interval!.high],
});

export const nllOf = ({ nll, nllInterval }: StoredResult): Found => ({
  value: nll!,
  interval: [nllInterval!.low, nllInterval!.high],
});

/** A watched task at a checkpoint. Runs of earlier versions have no intervals. */
export type WatchedScore = KeepLine['keep'][number];

/** A checkpoint of the stage that trains the model, as metrics.jsonl tells of it. Step 0 has no score. */
export interface RunCheckpoint {
  readonly step: number;
  /** On the target's validation split. */
  readonly score?: number;
  /** The watched tasks. */
  readonly keep: readonly WatchedScore[];
  /** Cosines of the gradient with the format gradient, by parameter group. */
  readonly alignment: Readonly<Record<string, number>>;
}

const alignmentLine = z.looseObject({
  alignment: z.looseObject({ groups: z.record(z.string(), z.looseObject({ cosine: z.number().optional() })) }),
});

/** The course of a finished run, by steps. */
export function readCourse(folder: ExperimentFolder, job: RunJob): RunCheckpoint[] {
  const run = ofJob(() => readTrainingRun(folder.of(job)));
  if (run.evaluations.length === 0)
    throw new UserError(`${run.folder}: its metrics.jsonl is missing or empty: ${again}`);
  const ofModel = [...run.evaluations, ...run.keeps, ...run.owns].filter(({ stage }) => stage === 'model');
  const steps = [...new Set(ofModel.map(({ step }) => step))].sort((a, b) => a - b);
  return steps.map((step) => {
    const own = ofModel.filter((line) => line.step === step);
    const validation = own.find((line) => line.type === 'evaluation');
    const aligned = own.map((line) => alignmentLine.safeParse(line).data).find((line) => line !== undefined);
    return {
      step,
      ...(validation && { score: validation.score }),
      keep: own.find((line) => line.type === 'keep')?.keep ?? [],
      alignment: Object.fromEntries(
        Object.entries(aligned?.alignment.groups ?? {}).flatMap(([group, { cosine }]) =>
          cosine === undefined ? [] : [[group, cosine]],
        ),
      ),
    };
  });
}

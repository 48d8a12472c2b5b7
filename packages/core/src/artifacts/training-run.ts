// A training run's folder as a report reads it: what it was, and the lines of its metrics.jsonl by kind. Loads no model.
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { checked, readJson, readJsonLines } from '../base/json.js';
import type { Spoken } from '../report/side-by-side.js';

/** A confidence interval, see `Interval`. */
export const interval = z.object({ low: z.number(), high: z.number() });

const place = { stage: z.string(), step: z.int().nonnegative(), task: z.string().optional() };
const stepLine = z.looseObject({
  ...place,
  loss: z.number(),
  tokensPerSecond: z.number(),
  elapsed: z.number(),
  memory: z.number(),
});
const evaluationLine = z.looseObject({ ...place, evalLoss: z.number(), scoreError: z.number().optional() });
const keepLine = z.looseObject({
  ...place,
  keep: z.array(
    z.looseObject({
      task: z.string(),
      metric: z.string(),
      score: z.number(),
      interval: interval.optional(),
      formShare: z.number().optional(),
      nll: z.number().optional(),
      nllInterval: interval.optional(),
    }),
  ),
  keepAverage: z.number(),
});

/** A line of a training step; see `MetricsLine`. */
export type StepLine = z.infer<typeof stepLine>;
/** The other tasks' scores at one moment. */
export type KeepLine = z.infer<typeof keepLine>;
/** The target's validation at a kept checkpoint. */
export interface EvaluationLine {
  readonly stage: string;
  readonly step: number;
  readonly task?: string;
  readonly evalLoss: number;
  /** One standard error of `score`. */
  readonly scoreError?: number;
  readonly metric: string;
  /** 0 to 100. */
  readonly score: number;
}

export interface TrainingRun {
  readonly folder: string;
  readonly method: string;
  readonly model: string;
  /** Its name, of a task of one's own the file's name; of several tasks, all, joined by `+`. */
  readonly task: string;
  /** Settings by dotted key. */
  readonly settings: Readonly<Record<string, string>>;
  /** Machine and versions, as environment.json has them. */
  readonly environment: Readonly<Record<string, unknown>>;
  readonly steps: readonly StepLine[];
  readonly evaluations: readonly EvaluationLine[];
  readonly keeps: readonly KeepLine[];
}

const info = z.looseObject({
  method: z.string(),
  model: z.string(),
  task: z.union([z.string(), z.array(z.string())]),
  config: z.looseObject({}),
});

/** True where a folder holds a training run. */
export function isTrainingRun(folder: string): boolean {
  return existsSync(join(folder, 'run.json'));
}

/** Reads a run folder, finished or not. Errors: a UserError for files that are damaged. */
export function readTrainingRun(folder: string): TrainingRun {
  const { method, model, task, config } = readJson(join(folder, 'run.json'), info);
  const [steps, evaluations, keeps]: [StepLine[], EvaluationLine[], KeepLine[]] = [[], [], []];
  for (const { value, where } of readJsonLines(join(folder, 'metrics.jsonl'))) {
    const line = checked(value, z.looseObject({}), where);
    if ('keep' in line) keeps.push(checked(line, keepLine, where));
    else if ('evalLoss' in line) {
      const found = checked(line, evaluationLine, where);
      const metric = Object.keys(found).find(
        (key) => !['stage', 'step', 'task', 'evalLoss', 'scoreError'].includes(key),
      );
      const score = metric === undefined ? undefined : found[metric];
      if (typeof score !== 'number') throw new UserError(`${where}: an evaluation without a score`);
      evaluations.push({ ...found, metric: metric === 'score' ? 'mean' : metric!, score });
    } else if ('loss' in line) steps.push(checked(line, stepLine, where));
    // Lines of other kinds are other readers' business.
  }
  const environmentFile = join(folder, 'environment.json');
  return {
    folder,
    method,
    model,
    task: [task]
      .flat()
      .map((one) => basename(one))
      .join('+'),
    settings: flattened(config),
    environment: existsSync(environmentFile) ? readJson(environmentFile, z.looseObject({})) : {},
    steps,
    evaluations,
    keeps,
  };
}

/** What the model said at a kept checkpoint on the validation split; nothing where the run kept no samples of it. */
export function readRunSamples(folder: string, stage: string, step: number): Spoken[] {
  const path = join(folder, 'samples', `${stage}-${String(step).padStart(6, '0')}.jsonl`);
  return readJsonLines(path).map(({ value, where }) => spoken(value, where));
}

const sample = z.looseObject({ input: z.string(), trimmed: z.string(), references: z.array(z.string()).min(1) });

/** A line of samples. Errors: a UserError that begins with `where`. */
export function spoken(value: unknown, where: string): Spoken {
  const { input, trimmed, references } = checked(value, sample, where);
  return { input, output: trimmed, reference: references[0]! };
}

/** `{ stage1: { steps: 5 } }` as `{ 'stage1.steps': '5' }`. */
export function flattened(settings: Readonly<Record<string, unknown>>, prefix = ''): Record<string, string> {
  return Object.fromEntries(
    Object.entries(settings).flatMap(([key, value]) =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? Object.entries(flattened(value as Record<string, unknown>, `${prefix}${key}.`))
        : [[`${prefix}${key}`, typeof value === 'string' ? value : JSON.stringify(value)]],
    ),
  );
}

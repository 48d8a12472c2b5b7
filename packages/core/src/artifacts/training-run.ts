// A training run's folder as a report reads it: what it was, and the lines of its metrics.jsonl by kind. Loads no
// model.
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { readJson } from '../base/json.js';
import { type EvaluationLine, type KeepLine, type OwnLine, readMetrics, type StepLine } from './metrics-file.js';
import { readRun } from './run-file.js';
import { readSpoken, runSamplesPath, type Spoken } from './samples-file.js';

export type { EvaluationLine, KeepLine, OwnLine, StepLine } from './metrics-file.js';

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
  /** What the caller of the run measured at checkpoints. */
  readonly owns: readonly OwnLine[];
}

/** Reads a run folder, finished or not. Errors: a UserError for files that are damaged. */
export function readTrainingRun(folder: string): TrainingRun {
  const { method, model, tasks, config } = readRun(folder);
  const lines = readMetrics(folder);
  const environmentFile = join(folder, 'environment.json');
  return {
    folder,
    method,
    model,
    // `task.yaml` lies in the folder of the run that wrote it, whose name it has.
    task: tasks.map((one) => basename(basename(one) === 'task.yaml' ? dirname(one) : one)).join('+'),
    settings: flattened(config),
    environment: existsSync(environmentFile) ? readJson(environmentFile, z.looseObject({})) : {},
    steps: lines.filter((line) => line.type === 'step'),
    evaluations: lines.filter((line) => line.type === 'evaluation'),
    keeps: lines.filter((line) => line.type === 'keep'),
    owns: lines.filter((line) => line.type === 'own'),
  };
}

/** What the model said at a kept checkpoint on the validation split; nothing where the run kept no samples of it. */
export function readRunSamples(folder: string, stage: string, step: number): Spoken[] {
  return readSpoken(runSamplesPath(folder, stage, step));
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

// An evaluation's folder (`promot eval --out`) as a report reads it.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { checked, readJson, readJsonLines } from '../base/json.js';
import type { Spoken } from '../report/side-by-side.js';
import { flattened, interval, spoken } from './training-run.js';

const taskEntry = z.looseObject({
  task: z.string().regex(/^[\w.-]+$/u),
  version: z.string(),
  split: z.string(),
  metric: z.string(),
  score: z.number(),
  interval: interval.optional(),
  n: z.int().positive(),
  shots: z.int().nonnegative(),
  seed: z.int().nonnegative(),
  signature: z.string(),
  labels: z.array(z.string()).optional(),
  formShare: z.number().optional(),
  nll: z.number().optional(),
  nllInterval: interval.optional(),
  notes: z.array(z.string()).default([]),
  dataFingerprint: z.string(),
});
const results = z.looseObject({ settings: z.looseObject({}), date: z.string().optional() });

/** One task's result; see `TaskResult`. */
export type EvaluatedTask = z.infer<typeof taskEntry> & { readonly samples: readonly Spoken[] };

export interface EvaluationFolder {
  readonly folder: string;
  readonly tasks: readonly EvaluatedTask[];
  /** Settings by dotted key, the model and the soft prompt among them. */
  readonly settings: Readonly<Record<string, string>>;
  readonly date?: string;
}

/** True where a folder holds an evaluation. */
export function isEvaluation(folder: string): boolean {
  return existsSync(join(folder, 'results.json'));
}

/** True where a folder holds the report of an experiment of the paper, whose numbers have another form. */
export function isReproduced(folder: string): boolean {
  const path = join(folder, 'results.json');
  return existsSync(path) && 'jobs' in readJson(path, z.looseObject({}));
}

/** Reads an evaluation's folder; samples that are not there are left out. Errors: a UserError for files that are damaged. */
export function readEvaluation(folder: string): EvaluationFolder {
  const path = join(folder, 'results.json');
  const content = readJson(path, results);
  const entries = checked(content.tasks ?? [content], z.array(taskEntry).min(1), path);
  return {
    folder,
    tasks: entries.map((entry) => ({
      ...entry,
      samples: readJsonLines(join(folder, `samples-${entry.task}.jsonl`)).map(({ value, where }) =>
        spoken(value, where),
      ),
    })),
    settings: flattened(content.settings),
    date: content.date,
  };
}

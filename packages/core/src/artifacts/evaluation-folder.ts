// An evaluation's folder (`promot eval --out`) as a report reads it.
import { join } from 'node:path';
import { z } from 'zod';
import { readJson } from '../base/json.js';
import { hasResults, readResults, type StoredResult } from './results-file.js';
import { readSpoken, type Spoken, samplesPath } from './samples-file.js';
import { flattened } from './training-run.js';

/** One task's result; see `TaskResult`. */
export type EvaluatedTask = StoredResult & { readonly samples: readonly Spoken[] };

export interface EvaluationFolder {
  readonly folder: string;
  readonly tasks: readonly EvaluatedTask[];
  /** Settings by dotted key, the model and the soft prompt among them. */
  readonly settings: Readonly<Record<string, string>>;
  readonly date?: string;
}

/** True where a folder holds the report of an experiment of the paper, whose numbers have another form. */
export function isReproduced(folder: string): boolean {
  return hasResults(folder) && 'jobs' in readJson(join(folder, 'results.json'), z.looseObject({}));
}

/**
 * Reads an evaluation's folder; samples that are not there are left out. Errors: a UserError for files that are
 * damaged.
 */
export function readEvaluation(folder: string): EvaluationFolder {
  const { tasks, settings, date } = readResults(folder);
  return {
    folder,
    tasks: tasks.map((result) => ({ ...result, samples: readSpoken(samplesPath(folder, result.task)) })),
    settings: flattened(settings),
    date,
  };
}

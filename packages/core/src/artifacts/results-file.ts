// results.json: what an evaluation (`promot eval --out`) found.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { writeText } from '../base/write.js';
import { format, formatKey, interval, readArtifact } from './format.js';

const score = z.number().describe('0 to 100');

const metricScore = z.looseObject({
  metric: z.string(),
  metricSettings: z.looseObject({}).optional(),
  score,
  interval: interval.optional(),
  signature: z.string(),
});

const taskResult = z.looseObject({
  task: z
    .string()
    .regex(/^[\w.-]+$/u)
    .describe('its samples are in samples-TASK.jsonl'),
  version: z.string().describe("of the task's template and post-processing"),
  split: z.string(),
  metric: z.string().describe("the task's first one"),
  metricSettings: z.looseObject({}).optional(),
  score,
  interval: interval.optional().describe('of `score`: 95 %, percentile bootstrap over the examples'),
  n: z.int().positive().describe('examples'),
  shots: z.int().nonnegative().describe('exemplars in front of each input'),
  seed: z.int().nonnegative().describe('of the exemplars'),
  signature: z.string().describe('equal signatures mean comparable scores'),
  metrics: z.array(metricScore).optional().describe('for tasks with several metrics: every one, the first included'),
  labels: z.array(z.string()).optional().describe('the words that `formShare` counts'),
  language: z.string().optional().describe('the language that `formShare` counts'),
  formShare: z.number().optional().describe('percent of the outputs that begin with a label or are in the language'),
  generation: z.number().optional().describe('for tasks with labels: accuracy of the generated answers'),
  likelihood: z
    .looseObject({ raw: z.number(), perToken: z.number() })
    .optional()
    .describe('for tasks with labels: accuracy of the labels ranked by likelihood'),
  nll: z.number().optional().describe('negative log-likelihood of the first references, nats per token'),
  nllInterval: interval.optional(),
  notes: z.array(z.string()).default([]).describe('what a reader of the score must know'),
  dataFingerprint: z.string().describe('SHA-256 of the evaluated examples'),
});

export const resultsFile = z.looseObject({
  format: formatKey,
  tasks: z.array(taskResult).min(1).describe('one result a task'),
  average: z.number().optional().describe('mean of the scores, where there are several tasks'),
  settings: z.looseObject({}).describe('model, prompt and what else was asked for'),
  modelFingerprint: z.string().optional().describe("SHA-256 of the model's files"),
  promptFingerprint: z.string().optional().describe("SHA-256 of the soft prompt's or LoRA's files"),
  date: z.string().optional().describe('ISO 8601'),
});

type ResultsFile = z.infer<typeof resultsFile>;
export type StoredResult = z.infer<typeof taskResult>;

const pathIn = (folder: string) => join(folder, 'results.json');

/** True where a folder holds an evaluation, or the report of an experiment (see `isReproduced`). */
export function hasResults(folder: string): boolean {
  return existsSync(pathIn(folder));
}

/** Reads results.json. Errors: a UserError where it is missing or damaged. */
export function readResults(folder: string): ResultsFile {
  const path = pathIn(folder);
  if (!existsSync(path)) throw new UserError(`${folder}: no results.json there; promot eval --out makes one`);
  return readArtifact<ResultsFile>(path, resultsFile, (content) => {
    // The result of one task stood flat beside the settings.
    const { settings, modelFingerprint, promptFingerprint, date, tasks, average, ...flat } = content as Record<
      string,
      unknown
    >;
    return { format, tasks: tasks ?? [flat], average, settings, modelFingerprint, promptFingerprint, date };
  });
}

/** Writes results.json, whole. */
export function writeResults(folder: string, results: Omit<z.input<typeof resultsFile>, 'format'>): void {
  writeText(pathIn(folder), `${JSON.stringify({ format, ...results }, null, 2)}\n`);
}

// state.json of a checkpoint and finished.json of a run: where stages stand. Both vouch for themselves by a checksum.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { checked, readJson } from '../base/json.js';
import { writeText } from '../base/write.js';
import { format, formatKey } from './format.js';

const candidate = z.strictObject({
  step: z.int().nonnegative(),
  score: z.number().describe("the task's metric on the validation split, 0 to 100; of several tasks the mean"),
  scoreError: z.number().optional().describe('one standard error of `score`'),
  evalLoss: z.number().describe('negative log-likelihood of the validation targets, nats per token'),
  keepAverage: z.number().optional().describe('mean score of the keep list, 0 to 100, where it was evaluated'),
  warns: z.boolean().optional().describe('whether the keep list was being lost'),
});

const stageState = z.strictObject({
  stage: z.string().describe("what its checkpoints are called; of several tasks' prompts prompt-TASK"),
  start: z.strictObject({ keepAverage: z.number().optional() }).optional().describe('what step 0 was measured to be'),
  step: z.int().nonnegative(),
  candidates: z.array(candidate).readonly().describe('kept checkpoints so far'),
  seconds: z.number().describe('of training so far'),
  lowered: z.int().positive().optional().describe('how often the learning rate was lowered (learningRate=auto)'),
});

const sha256 = z.string().describe('SHA-256 of the other keys as JSON');

export const stateFile = stageState.extend({
  format: formatKey,
  files: z.record(z.string(), z.string()).describe("SHA-256 of the checkpoint's files, by name"),
  sha256,
});

export const finishedFile = z.strictObject({
  format: formatKey,
  stages: z.array(stageState).describe('where each stage stood when the run was finished'),
  sha256,
});

/** A kept checkpoint as a candidate for the best. */
export type Candidate = Readonly<z.infer<typeof candidate>>;
/** Where a stage stands. */
export type StageState = Readonly<z.infer<typeof stageState>>;
/** SHA-256 of a checkpoint's files, by name. */
export type CheckpointFiles = z.infer<typeof stateFile>['files'];

/**
 * Reads a checkpoint's state; `files` is absent in format 1, which vouches for nothing.
 * Errors: a UserError for one that is damaged.
 */
export function readState(path: string): { state: StageState; files?: CheckpointFiles } {
  const content = readJson(path, z.looseObject({}));
  if (content.format === undefined) return { state: checked(content, stageState, path) };
  const { format: _, files, sha256: __, ...state } = unsealed(path, content, stateFile);
  return { state, files };
}

export function writeState(path: string, state: StageState, files: CheckpointFiles): void {
  writeText(path, `${JSON.stringify(sealed({ format, ...state, files }))}\n`);
}

/** The stages of a finished run; undefined where there is no such file. Errors: a UserError for one that is damaged. */
export function readFinished(path: string): readonly StageState[] | undefined {
  if (!existsSync(path)) return undefined;
  const content = readJson(path, z.looseObject({}));
  if (content.format === undefined) return checked(content, finishedFile.pick({ stages: true }), path).stages;
  return unsealed(path, content, finishedFile).stages;
}

export function writeFinished(path: string, stages: readonly StageState[]): void {
  writeText(path, `${JSON.stringify(sealed({ format, stages }), null, 2)}\n`);
}

function sealed(content: object): object {
  return { ...content, sha256: checksum(content) };
}

function unsealed<T>(path: string, content: Record<string, unknown>, schema: z.ZodType<T>): T {
  const { sha256: seal, ...rest } = content;
  if (seal !== checksum(rest))
    throw new UserError(`${path}: it is not what was written (its checksum differs)`, { code: 'damaged-file' });
  return checked(content, schema, path);
}

function checksum(content: object): string {
  return createHash('sha256').update(JSON.stringify(content)).digest('hex');
}

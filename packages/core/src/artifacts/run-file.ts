// run.json: what a training run is. A folder that holds it is a run folder.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { writeText } from '../base/write.js';
import { format, formatKey, readArtifact } from './format.js';

const hashes = z.record(z.string(), z.string());

/** What else the result depends on: a run that is resumed needs the same. */
const fingerprints = z.strictObject({
  model: z.string().optional().describe("SHA-256 of the base model's files"),
  promptInit: z.string().optional().describe('SHA-256 of the adapter that the soft prompt starts from'),
  tasks: hashes.default({}).describe('of each task, its version and SHA-256 of its training and validation examples'),
  replay: hashes.default({}).describe('the same of replay.tasks, of their training examples'),
  keep: hashes.default({}).describe('the same of keep.tasks, of the examples and exemplars that are asked'),
});

export const runFile = z.strictObject({
  format: formatKey,
  method: z.string().describe('training method, such as promot'),
  model: z.string().describe('the base model, as it was named; local paths are absolute'),
  tasks: z.array(z.string()).min(1).describe('names of built-in tasks or paths of YAML files'),
  data: z.string().optional().describe('folder with the data of built-in tasks, where one was named'),
  fingerprints: fingerprints.default({ tasks: {}, replay: {}, keep: {} }),
  config: z.record(z.string(), z.unknown()).describe('all settings, see docs/reference/commands.md'),
});

export type Fingerprints = z.infer<typeof fingerprints>;
/** A run without its settings. */
export type RunInfo = Omit<z.input<typeof runFile>, 'format' | 'config'>;
/** A run as it is read. */
export type RunFile = z.output<typeof runFile>;

const oldFile = z.looseObject({
  task: z.union([z.string(), z.array(z.string())]).optional(),
  fingerprints: hashes.optional(),
});

const name = 'run.json';

/** True where a folder is a run folder. */
export function isRun(folder: string): boolean {
  return existsSync(join(folder, name));
}

/** Reads run.json. Errors: a UserError for one that is damaged. */
export function readRun(folder: string): RunFile {
  return readArtifact(join(folder, name), runFile, (content) => {
    const old = oldFile.safeParse(content).data;
    if (!old) return content;
    const { task, fingerprints: tasks, ...rest } = old;
    return { ...rest, format, tasks: task === undefined ? undefined : [task].flat(), fingerprints: { tasks } };
  });
}

/** Writes run.json: from now on the folder is a run. */
export function writeRun(folder: string, info: RunInfo, config: object): void {
  writeText(join(folder, name), `${JSON.stringify({ format, ...info, config }, null, 2)}\n`);
}

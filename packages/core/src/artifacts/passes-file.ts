// passes.json of a run: how many examples its passes have, where that is not what the settings say.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { writeText } from '../base/write.js';
import { format, formatKey, readArtifact } from './format.js';

const change = z.strictObject({
  stage: z.string().describe("what its checkpoints are called; of several tasks' prompts prompt-TASK"),
  step: z.int().positive().describe('the first step with this size'),
  examples: z.int().positive().describe('of a pass, at most'),
});

export const passesFile = z.strictObject({
  format: formatKey,
  passes: z.array(change).describe('in the order of their steps'),
});

/** From some step of a stage on, passes have so many examples. */
export type PassChange = Readonly<z.infer<typeof change>>;

const pathIn = (run: string) => join(run, 'passes.json');

/** What a run remembers; nothing where it has changed nothing. Errors: a UserError for a file that is damaged. */
export function readPasses(run: string): readonly PassChange[] {
  const path = pathIn(run);
  return existsSync(path) ? readArtifact(path, passesFile, (content) => content).passes : [];
}

export function writePasses(run: string, passes: readonly PassChange[]): Promise<void> {
  return Promise.resolve(writeText(pathIn(run), `${JSON.stringify({ format, passes }, null, 2)}\n`));
}

// samples-TASK.jsonl of an evaluation and samples/STAGE-STEP.jsonl of a run: what a model said, a line an example.
import { join } from 'node:path';
import { z } from 'zod';
import { writeText } from '../base/write.js';
import { headerLine, readArtifactLines } from './format.js';

export const sampleLine = z.looseObject({
  type: z.literal('sample'),
  input: z.string().describe('the whole prompt, exemplars in front'),
  output: z.string().describe("as generated; with sentinels for the paper's tasks"),
  trimmed: z.string().describe('what is compared with the references'),
  references: z.array(z.string()).min(1),
  score: z.number().describe('of this example, 0 to 100'),
  scores: z.array(z.number()).optional().describe('by each metric, where the task has several'),
  mostLikely: z
    .looseObject({ raw: z.string().optional(), perToken: z.string().optional() })
    .optional()
    .describe('for tasks with labels: the most likely one, by each ranking'),
  choices: z
    .array(z.looseObject({ text: z.string(), logprob: z.number(), tokens: z.int().positive(), greedy: z.boolean() }))
    .optional()
    .describe('for tasks with choices: how likely each is'),
  right: z.int().nonnegative().optional().describe('the number of the right choice, from 0'),
  reference: z
    .object({ logprob: z.number(), tokens: z.int().positive() })
    .optional()
    .describe('with nll: how likely the first reference is'),
});

export type SampleLine = z.infer<typeof sampleLine>;

/**
 * The samples of a file, in the examples' order; none where the file is not there. Errors: a UserError for a damaged
 * file.
 */
export function readSamples(path: string): SampleLine[] {
  return readArtifactLines(path, sampleLine, (line) => ({ type: 'sample', ...line }));
}

/** One example with what a model said. */
export interface Spoken {
  readonly input: string;
  /** As it was scored: trimmed. */
  readonly output: string;
  readonly reference: string;
  /** 0 to 100. */
  readonly score: number;
}

/** The samples of a file as they are shown to people. Errors as of `readSamples`. */
export function readSpoken(path: string): Spoken[] {
  return readSamples(path).map(({ input, trimmed, references, score }) => ({
    input,
    output: trimmed,
    reference: references[0]!,
    score,
  }));
}

/** Writes a file of samples, whole. */
export function writeSamples(path: string, samples: readonly object[]): void {
  const lines = samples.map((sample) => `${JSON.stringify({ type: 'sample', ...sample })}\n`);
  writeText(path, headerLine + lines.join(''));
}

/** Where an evaluation's samples of a task are. */
export function samplesPath(folder: string, task: string): string {
  return join(folder, `samples-${task}.jsonl`);
}

/** Where a run's samples of a kept checkpoint are. */
export function runSamplesPath(folder: string, stage: string, step: number): string {
  return join(folder, 'samples', `${stage}-${digits(step)}.jsonl`);
}

/** A step as it stands in names of files: they sort by it. */
export function digits(step: number): string {
  return String(step).padStart(6, '0');
}

// answers/TASK-HASH.jsonl: what a model gave for the examples of a task, as it came; an evaluation goes on from there.
import { existsSync, readFileSync, truncateSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { reworded, UserError } from '../base/errors.js';
import { appendText, makeFolder } from '../base/write.js';
import { headerLine, isEmpty, readArtifactLines } from './format.js';

const logprob = z.number().describe('sum of the log-probabilities of its tokens, nats');
const tokens = z.int().nonnegative();

export const answerLine = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('prompts').describe('the texts that the model got; the first line after the header'),
    inputs: z.array(z.string()).readonly(),
    notes: z.array(z.string()).readonly().describe('what is to be said about them'),
  }),
  z.strictObject({
    type: z.literal('answer'),
    example: z.int().nonnegative().describe('its number, from 0'),
    output: z.string().optional().describe('as generated, sentinels included'),
    labels: z
      .array(z.strictObject({ logprob, tokens }))
      .readonly()
      .optional()
      .describe('for tasks with labels: how likely each is'),
    choices: z
      .array(z.strictObject({ logprob, tokens, greedy: z.boolean().describe('each token is the most likely one') }))
      .readonly()
      .optional()
      .describe('for tasks with choices: how likely each is'),
    reference: z.strictObject({ logprob, tokens }).optional().describe('with nll: how likely the first reference is'),
  }),
]);

export type AnswerLine = z.infer<typeof answerLine>;

/**
 * The lines of a file of answers; none where it is not there. A last line that a crash cut is cut off the file.
 * Errors: a UserError for a file that is damaged.
 */
export function readAnswers(path: string): AnswerLine[] {
  if (!existsSync(path)) return [];
  const bytes = readFileSync(path);
  const end = bytes.lastIndexOf('\n') + 1;
  if (end < bytes.length) truncateSync(path, end);
  try {
    const lines = readArtifactLines<AnswerLine>(path, answerLine, (line) => line);
    if (lines.some(({ type }, i) => (type === 'prompts') !== (i === 0)))
      throw new UserError(`${path}: the prompts must come first, and once`);
    return lines;
  } catch (error) {
    throw reworded(error, (message) => `${message}; delete the file to evaluate anew`);
  }
}

/** Adds a line. */
export function appendAnswer(path: string, line: AnswerLine): void {
  const start = isEmpty(path) ? headerLine : '';
  if (start !== '') makeFolder(dirname(path));
  appendText(path, `${start}${JSON.stringify(line)}\n`);
}

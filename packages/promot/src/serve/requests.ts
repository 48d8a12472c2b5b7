// What clients may send: OpenAI's completions as far as promot has them, and records for a task.
import { UserError } from '@promot/core/base';
import { type DataRecord, parseJson } from '@promot/core/data';
import { z } from 'zod';

/** Texts or records in one request. */
const most = 32;
/** New tokens that a request may ask for. */
const mostNewTokens = 4096;

const stop = z.union([z.string().min(1), z.array(z.string().min(1)).max(4)]).transform((text) => [text].flat());
/** How an answer is made. Without `temperature` and its like the likeliest token is taken. */
const how = {
  max_tokens: z.int().min(1).max(mostNewTokens).optional(),
  beams: z.int().min(1).max(16).optional(),
  stop: stop.optional(),
  temperature: z.number().min(0).max(10).optional(),
  top_p: z.number().gt(0).max(1).optional(),
  top_k: z.int().min(0).optional(),
  min_p: z.number().min(0).max(1).optional(),
  repetition_penalty: z.number().gt(0).max(100).optional(),
  no_repeat_ngram_size: z.int().min(0).optional(),
  seed: z.int().min(0).optional(),
};
/** Keys that OpenAI's clients send. Those that ask for what is not there are refused, not ignored. */
const openAi = {
  model: z.string().optional(),
  ...how,
  n: z.literal(1, 'there is one answer: leave it out or give 1').optional(),
  user: z.string().optional(),
};

export const completionRequest = z.strictObject({
  ...openAi,
  stream: z.literal(false, 'only chat answers come in parts: leave it out or give false').optional(),
  prompt: z.union([z.string(), z.array(z.string()).min(1).max(most)]).transform((text) => [text].flat()),
});

/** Turns may have keys that the chat template knows, such as `name` or `tool_calls`. */
const turn = z.looseObject({ role: z.string(), content: z.unknown() });
export const chatRequest = z.strictObject({
  ...openAi,
  stream: z.boolean().optional(),
  max_completion_tokens: how.max_tokens,
  messages: z.array(turn).min(1).max(1000),
  tools: z.array(z.unknown()).max(128).optional(),
});

const record = z.record(z.string(), z.unknown());
export const taskRequest = z
  .strictObject({ ...how, record: record.optional(), records: z.array(record).min(1).max(most).optional() })
  .refine((body) => (body.record === undefined) !== (body.records === undefined), 'give either record or records');

/**
 * Reads a request's body. Errors: a UserError that names the key. `records` are as the text has them: their numbers
 * stay what they are (1.0, or more digits than JavaScript keeps).
 */
export function readRequest<T>(text: string, schema: z.ZodType<T>): { body: T; records: readonly DataRecord[] } {
  let value: unknown;
  let exact: { record?: DataRecord; records?: readonly DataRecord[] } | null;
  try {
    // It bounds the nesting.
    exact = parseJson(text) as typeof exact;
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(`the body is not JSON (${(error as Error).message})`, { cause: error });
  }
  const { success, data, error } = schema.safeParse(value);
  if (!success) {
    const { path, message } = error.issues[0]!;
    throw new UserError(path.length > 0 ? `${path.join('.')}: ${message}` : message);
  }
  const { record: one, records = one === undefined ? [] : [one] } = exact ?? {};
  return { body: data, records };
}

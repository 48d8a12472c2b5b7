// Conversations in the records of a data set: turns of system, user, assistant and tools, in the two forms that data
// sets have.
import { UserError } from '../base/errors.js';
import { ExactNumber } from '../data/exact-number.js';
import { parseJson } from '../data/json-records.js';
import { isRecord } from '../data/record.js';

/**
 * One turn, as a chat template reads it: `role`, `content`, and what else the data says (`tool_calls`, `name`, ...).
 * One of the assistant with `weight` 0 is not learned.
 */
export type Message = Readonly<Record<string, unknown>> & { readonly role: string };

/** A conversation. Of a task's example the last turn is the assistant's. */
export interface Conversation {
  readonly messages: readonly Message[];
  /** JSON schemas of functions, for templates that name them. */
  readonly tools?: readonly unknown[];
  /** In place of the model's own chat template. */
  readonly template?: string;
}

const roles = ['system', 'developer', 'user', 'assistant', 'tool'];

/** Roles of `{ from, value }`. */
const speakers: Readonly<Record<string, string>> = {
  system: 'system',
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  chatgpt: 'assistant',
  assistant: 'assistant',
  function_call: 'assistant',
  tool: 'tool',
  observation: 'tool',
  function_response: 'tool',
};

/** The turns of a list of `{ role, content }` or of `{ from, value }`. Errors: a UserError that names the turn. */
export function readMessages(value: unknown, field: string): readonly Message[] {
  if (!Array.isArray(value) || value.length === 0)
    throw new UserError(`field "${field}" should hold a list of turns, each with role and content (or from and value)`);
  return value.map((turn: unknown, i) => readMessage(turn, `field "${field}", turn ${i + 1}`));
}

function readMessage(turn: unknown, where: string): Message {
  if (!isRecord(turn)) throw new UserError(`${where}: ${short(turn)} is no turn with role and content`);
  checkPlain(turn, where);
  if ('role' in turn) {
    const { role, content } = turn;
    if (typeof role !== 'string' || !roles.includes(role))
      throw new UserError(`${where}: role is ${short(role)}; known are ${roles.join(', ')}`);
    const isText = typeof content === 'string' || (Array.isArray(content) && content.every(isTextPart));
    const calls = role === 'assistant' && Array.isArray(turn.tool_calls) && turn.tool_calls.length > 0;
    if (!isText && !(calls && (content === undefined || content === null)))
      throw new UserError(`${where}: content is ${short(content)}; a text is expected`);
    if ('weight' in turn && (role !== 'assistant' || ![0, 1].includes(turn.weight as number)))
      throw new UserError(`${where}: weight is ${short(turn.weight)}; a turn of the assistant may have 0 or 1`);
    const [only, ...rest] = Array.isArray(content) ? content : [];
    return {
      ...turn,
      role,
      ...(only !== undefined && rest.length === 0 && { content: (only as { text: string }).text }),
      ...(calls && { tool_calls: (turn.tool_calls as unknown[]).map((call) => withArguments(call, where)) }),
    };
  }
  const { from, value, ...others } = turn;
  const role = typeof from === 'string' && Object.hasOwn(speakers, from) ? speakers[from]! : undefined;
  if (role === undefined)
    throw new UserError(
      `${where}: it has neither a role nor a "from" that is known (${Object.keys(speakers).join(', ')}), but ` +
        `${short(turn)}`,
    );
  if (typeof value !== 'string') throw new UserError(`${where}: value is ${short(value)}; a text is expected`);
  if (from === 'function_call') {
    const call = parsed(value, `${where}: a function_call`);
    const calls = [call].flat().map((one) => ({ type: 'function', function: withArguments(one, where) }));
    if (!calls.every(({ function: one }) => isRecord(one) && typeof one.name === 'string'))
      throw new UserError(
        `${where}: a function_call should hold an object with name and arguments, not ${short(value)}`,
      );
    return { ...others, role, content: '', tool_calls: calls };
  }
  return { ...others, role, content: value };
}

/** A call of a tool whose arguments are the object that templates expect; OpenAI's form has them as JSON text. */
function withArguments(call: unknown, where: string): unknown {
  if (!isRecord(call)) return call;
  if (isRecord(call.function)) return { ...call, function: withArguments(call.function, where) };
  if (typeof call.arguments !== 'string') return call;
  return { ...call, arguments: parsed(call.arguments, `${where}: arguments of a call`) };
}

function parsed(text: string, where: string): unknown {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new UserError(`${where}: ${short(text)} is not JSON`, { cause: error });
  }
  checkPlain(value, where);
  return value;
}

/** The schemas of tools: a list, or JSON text of one. */
export function readTools(value: unknown, where: string): readonly unknown[] {
  const tools = typeof value === 'string' ? parsed(value, where) : value;
  if (!Array.isArray(tools)) throw new UserError(`${where} should hold a list of tools`);
  checkPlain(tools, where);
  return tools;
}

const isTextPart = (part: unknown): boolean => isRecord(part) && part.type === 'text' && typeof part.text === 'string';

/** Chat templates write numbers their own way: one that would come out otherwise than it stands in the file. */
function checkPlain(value: unknown, where: string): void {
  if (value instanceof ExactNumber)
    throw new UserError(`${where}: a chat template would not keep the number ${value}; write it as a text`);
  if (typeof value === 'bigint') throw new UserError(`${where}: a chat template cannot write the number ${value}`);
  if (typeof value !== 'object' || value === null) return;
  for (const inner of Object.values(value)) checkPlain(inner, where);
}

/** What the assistant says in a turn: its text, or where it has none, the calls of tools, one a line. */
export function answerIn({ content, tool_calls: calls }: Message): string {
  const text = Array.isArray(content) ? content.map((part: { text: string }) => part.text).join('') : content;
  if (typeof text === 'string' && text.trim() !== '') return text;
  return Array.isArray(calls) ? calls.map((call) => JSON.stringify(call)).join('\n') : '';
}

function short(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)} ...` : text;
}

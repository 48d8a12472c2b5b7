// Chat tasks and the model that reads them: its chat template, and the tokens of a conversation with those that the
// assistant says.
import { reworded, UserError } from '../base/errors.js';
import { isJsonObject, type Json, type JsonObject } from '../base/json.js';
import type { Conversation } from '../tasks/conversation.js';
import type { Example } from '../tasks/task.js';
import { ChatTemplate, type RenderedChat } from '../tokenizer/chat-template.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import type { KeptFiles } from './kept-files.js';
import type { LoadedModel } from './load.js';
import type { TokenizedExample } from './model.js';

/** What a chat template is found in. */
type HasTemplate = Pick<LoadedModel, 'tokenizer' | 'kept'>;

/**
 * The model's own chat template: chat_template.jinja or chat_template.json of its folder, else `chat_template` of
 * tokenizer_config.json (of several the one called "default"), which is also where a GGUF file's is.
 */
function chatTemplateSource({ tokenizer, kept }: HasTemplate): string | undefined {
  const file = (name: string) => {
    const content = kept?.files.get(name);
    return content === undefined ? undefined : Buffer.from(content).toString('utf8');
  };
  const jinja = file('chat_template.jinja');
  if (jinja !== undefined) return jinja;
  const json = file('chat_template.json');
  for (const config of [json === undefined ? {} : parseObject(json), tokenizerConfig(tokenizer)]) {
    const found = defaultTemplate(config.chat_template);
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * The template by which a model's conversations are rendered.
 * @param own in place of the model's.
 * @param place for messages. Errors: a UserError where there is none, or one that is not understood.
 */
export function chatTemplate(loaded: HasTemplate, own: string | undefined, place: string): ChatTemplate {
  const source = own ?? chatTemplateSource(loaded);
  if (source === undefined)
    throw new UserError(
      `${place}: the model has no chat template (chat_template.jinja); name one in the task file with chatTemplate`,
    );
  return new ChatTemplate(source, specialTokens(loaded.tokenizer), place);
}

/** What a model keeps of its folder, with another chat template. */
export function withChatTemplate(kept: KeptFiles | undefined, source: string): KeptFiles {
  const files = new Map(kept?.files ?? []);
  files.delete('chat_template.json');
  return { ...kept, files: files.set('chat_template.jinja', Buffer.from(source)) };
}

/**
 * Examples as the model reads them. Those of chat tasks get the text of their conversation: `input` is what stands in
 * front of the last turn. Others stay as they are. Errors: a UserError that names the example.
 */
export function renderChats<T extends Example>(examples: readonly T[], loaded: LoadedModel): readonly T[] {
  if (!examples.some(({ conversation, chat }) => conversation && !chat)) return examples;
  if (loaded.model.kind !== 'decoder-only')
    throw new UserError(`${examples[0]!.location}: conversations are for decoder-only models`);
  const templates = new Map<string | undefined, ChatTemplate>();
  return examples.map((example) => {
    const { conversation, chat, location } = example;
    if (!conversation || chat) return example;
    const { template: own } = conversation;
    const template = templates.get(own) ?? chatTemplate(loaded, own, location);
    templates.set(own, template);
    try {
      return { ...example, ...render(template, conversation) };
    } catch (error) {
      // The template was made at another example.
      throw reworded(error, (message) => `${location}: ${message.replace(`${template.place}: `, '')}`);
    }
  });
}

function render(template: ChatTemplate, { messages, tools }: Conversation): { input: string; chat: RenderedChat } {
  const chat = template.renderSpans(messages, { tools });
  if (chat.spans.length === 0) throw new UserError('the chat template marks nothing that the assistant says');
  return { input: template.render(messages.slice(0, -1), { tools, generationPrompt: true }), chat };
}

/** The tokens of a conversation: those of the last turn are the target, those of earlier ones answers in the input. */
export function tokenizeChat({ text, spans }: RenderedChat, tokenizer: Tokenizer): TokenizedExample {
  // The template has written the special tokens.
  const encode = (part: string) => tokenizer.encode(part, { specialTokens: false });
  const ids = encode(text);
  /** The number of the token that holds the first character of `rest`, and whether it begins there. */
  const tokenAt = (place: number) => {
    const before = encode(text.slice(0, place));
    let same = 0;
    while (same < before.length && before[same] === ids[same]) same++;
    return { token: same, begins: same === before.length };
  };
  const places = spans.map(([start, end]) => {
    const last = tokenAt(end);
    // As in Transformers, a token that reaches over the border belongs to the span.
    return [tokenAt(start).token, last.begins ? last.token : last.token + 1] as const;
  });
  const [start, end] = places.at(-1)!;
  const earlier = places.slice(0, -1).flatMap(([from, to]) => Array.from({ length: to - from }, (_, i) => from + i));
  const answers = [...new Set(earlier)].filter((place) => place > 0 && place < start);
  return {
    input: ids.slice(0, start),
    target: ids.slice(start, end),
    ...(answers.length > 0 && { answers }),
  };
}

/** Tokens of a rendered conversation. */
function chatLength({ text }: RenderedChat, tokenizer: Tokenizer): number {
  return tokenizer.encode(text, { specialTokens: false }).length;
}

/** Whether a rendered conversation has at most this many tokens (0: any number). Other examples may be cut instead. */
export function fits({ chat }: Pick<Example, 'chat'>, tokenizer: Tokenizer, maxInputLength: number): boolean {
  return !chat || maxInputLength === 0 || chatLength(chat, tokenizer) <= maxInputLength;
}

/** Throws UserError for a conversation that is longer than `maxInputLength`: none is cut. */
export function checkChatLengths(examples: readonly Example[], tokenizer: Tokenizer, maxInputLength: number): void {
  const long = examples.find((example) => !fits(example, tokenizer, maxInputLength));
  if (long)
    throw new UserError(
      `${long.location}: the conversation has ${chatLength(long.chat!, tokenizer)} tokens, and maxInputLength is ` +
        `${maxInputLength}: conversations are not cut; leave it out or set a larger length`,
    );
}

/** Ids at which answers of rendered chats end, where they are special tokens. */
export function chatEnds(examples: readonly Pick<Example, 'chat'>[], tokenizer: Tokenizer): number[] {
  const [first] = examples;
  if (!first?.chat) return [];
  const { target } = tokenizeChat(first.chat, tokenizer);
  const id = target.at(-1);
  return id !== undefined && tokenizer.decode([id]) === '' ? [id] : [];
}

/** The id with which a template ends turns of the assistant, where it is a special token. */
export function turnEnds(template: ChatTemplate, tokenizer: Tokenizer): number[] {
  const turns = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b' },
  ];
  try {
    return chatEnds([{ chat: template.renderSpans(turns) }], tokenizer);
  } catch (error) {
    // A template of its own kind, which refuses these turns: then the model's own ends are all that is known.
    if (error instanceof UserError) return [];
    throw error;
  }
}

/** Special tokens by the names that templates call them. */
function specialTokens(tokenizer: Tokenizer): Record<string, string> {
  const named: Record<string, string> = {};
  const ids = { bos_token: tokenizer.beginningOfSequence, eos_token: tokenizer.endOfSequence };
  for (const [name, id] of Object.entries(ids))
    if (id !== undefined) named[name] = tokenizer.decode([id], { specialTokens: true });
  for (const [name, value] of Object.entries(tokenizerConfig(tokenizer))) {
    const text = isJsonObject(value) ? value.content : value;
    if (name.endsWith('_token') && typeof text === 'string') named[name] = text;
  }
  return named;
}

function tokenizerConfig(tokenizer: Tokenizer): JsonObject {
  const content = tokenizer.files().get('tokenizer_config.json');
  return content === undefined ? {} : parseObject(Buffer.from(content).toString('utf8'));
}

/** Files that a tokenizer was read from are sound JSON. */
function parseObject(text: string): JsonObject {
  const value: unknown = JSON.parse(text);
  return isJsonObject(value) ? value : {};
}

function defaultTemplate(value: Json | undefined): string | undefined {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  const named = value.filter(isJsonObject);
  const found = named.find(({ name }) => name === 'default')?.template;
  return typeof found === 'string' ? found : undefined;
}

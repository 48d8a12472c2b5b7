// A model's chat template: how a conversation becomes one text, and which parts of the text the assistant says.
// Templates are Jinja's; @huggingface/jinja runs them.
import { Template } from '@huggingface/jinja';
import { UserError } from '../base/errors.js';
import { withinTime } from './patterns.js';
import { asPython, written } from './template-output.js';

/** A turn of a conversation, as templates read it. */
export type ChatTurn = Readonly<Record<string, unknown>> & { readonly role: string };

interface RenderOptions {
  readonly tools?: readonly unknown[] | undefined;
  /** Go on to where the assistant's next turn begins. */
  readonly generationPrompt?: boolean;
}

/** A conversation as a text. */
export interface RenderedChat {
  readonly text: string;
  /** Where turns of the assistant begin and end in it: first character, and the one behind the last. */
  readonly spans: readonly (readonly [start: number, end: number])[];
}

/** The largest text that a conversation may become. */
const longestText = 2 ** 26;

/** What the library makes of an object behind a text, which Python refuses to join. */
const joinedObject = '[object Map]';

/** Jinja's own would make any list that a template asks for. */
function boundedRange(first: number, last?: number, step = 1): number[] {
  const [start, end] = last === undefined ? [0, first] : [first, last];
  const length = Math.max(0, Math.ceil((end - start) / step));
  if (!(length <= longestRange)) throw new Error(`range() of ${length} numbers`);
  return Array.from({ length }, (_, i) => start + i * step);
}

const longestRange = 100_000;

export class ChatTemplate {
  readonly #plain: Template;
  /** With marks in place of `{% generation %}` and its end; undefined where the template has none. */
  readonly #marked: Template | undefined;

  /**
   * @param tokens texts of special tokens by the names that templates call them: `bos_token`, `eos_token`.
   * @param place for messages. Throws a UserError, which begins with it, for a malformed template.
   */
  constructor(
    source: string,
    readonly tokens: Readonly<Record<string, string>>,
    readonly place: string,
  ) {
    const marked = source
      .replaceAll(/\{%([-+]?)\s*generation\s*([-+]?)%\}/gu, '{%$1 if true %}{{ promot_open }}{% endif $2%}')
      .replaceAll(/\{%([-+]?)\s*endgeneration\s*([-+]?)%\}/gu, '{%$1 if true %}{{ promot_close }}{% endif $2%}');
    const parse = (text: string) => {
      try {
        // The block takes a line break that follows.
        return asPython(new Template(`{% set range = promot_range %}${text.startsWith('\n') ? '\n' : ''}${text}`));
      } catch (error) {
        const { message } = error as Error;
        throw new UserError(`${place}: not a chat template that is understood: ${message}`, { cause: error });
      }
    };
    this.#plain = parse(source);
    this.#marked = marked === source ? undefined : parse(marked);
  }

  /**
   * The text of turns. Throws a UserError for what the template itself refuses, such as two user turns in a row, and
   * where it leaves out a part of them, such as turns of a role that it does not know.
   */
  render(messages: readonly ChatTurn[], options: RenderOptions = {}): string {
    const text = this.#render(this.#plain, messages, options);
    this.#checkKept(text, messages, options);
    return text;
  }

  #render(
    template: Template,
    messages: readonly ChatTurn[],
    { tools, generationPrompt = false }: RenderOptions,
    marks: object = {},
  ): string {
    const values = {
      ...this.tokens,
      messages,
      promot_range: boundedRange,
      promot_written: written,
      add_generation_prompt: generationPrompt,
      ...(tools && { tools }),
      ...marks,
    };
    const given = JSON.stringify([messages, tools]);
    let text: string;
    try {
      text = withinTime(this.place, given.length, () => template.render(values), 'the chat template');
    } catch (error) {
      if (error instanceof UserError) throw error;
      const { message } = error as Error;
      throw new UserError(`${this.place}: the chat template refuses the conversation: ${message}`, { cause: error });
    }
    if (text.includes(joinedObject) && !given.includes(joinedObject))
      throw new UserError(`${this.place}: the chat template refuses the conversation: it joins an object to a text`);
    if (text.length > longestText) throw new UserError(`${this.place}: the chat template makes too long a text`);
    return text;
  }

  /**
   * The text of turns of which the last is the assistant's, and where the assistant speaks: what stands between
   * `{% generation %}` and `{% endgeneration %}`. Where a template has no such marks, it is what a turn of the
   * assistant adds to the text before it, up to the end token. Throws a UserError, too, where that cannot be told.
   */
  renderSpans(messages: readonly ChatTurn[], options: Pick<RenderOptions, 'tools'> = {}): RenderedChat {
    return this.#marked ? this.#byMarks(this.#marked, messages, options) : this.#byDifference(messages, options);
  }

  #byMarks(template: Template, messages: readonly ChatTurn[], options: Pick<RenderOptions, 'tools'>): RenderedChat {
    const [open, close] = unusedCharacters(JSON.stringify([messages, options.tools]), 2) as [string, string];
    const marked = this.#render(template, messages, options, { promot_open: open, promot_close: close });
    const spans: [number, number][] = [];
    let text = '';
    for (const part of marked.split(new RegExp(`(${open}|${close})`, 'u'))) {
      if (part === open) spans.push([text.length, text.length]);
      else if (part === close) spans.at(-1)![1] = text.length;
      else text += part;
    }
    this.#checkKept(text, messages, options);
    const turns = messages.filter(({ role }) => role === 'assistant');
    if (turns.every(isLearned)) return { text, spans: spans.filter(([start, end]) => end > start) };
    if (spans.length !== turns.length)
      throw new UserError(
        `${this.place}: the chat template marks ${spans.length} parts of ${turns.length} turns of the assistant, ` +
          'so that those of weight 0 cannot be told',
      );
    return { text, spans: spans.filter(([start, end], i) => end > start && isLearned(turns[i]!)) };
  }

  #byDifference(messages: readonly ChatTurn[], options: Pick<RenderOptions, 'tools'>): RenderedChat {
    const text = this.render(messages, options);
    const failure = (turn: number) =>
      new UserError(
        `${this.place}: the chat template does not say where turn ${turn + 1} begins or ends; ` +
          'mark it in a template of your own with {% generation %} and {% endgeneration %}',
      );
    const last = this.#contentPlace(messages, messages.length - 1, text, options);
    const closing = last === undefined ? '' : text.slice(last.end);
    const spans = messages.flatMap((message, i): [number, number][] => {
      if (message.role !== 'assistant' || !isLearned(message)) return [];
      const render = (turns: readonly ChatTurn[], generationPrompt = false) =>
        this.#render(this.#plain, turns, { ...options, generationPrompt });
      const before = render(messages.slice(0, i), true);
      // A template may write a turn otherwise once others follow it (Qwen3 leaves out what was thought).
      const whole = render(messages.slice(0, i + 1));
      const isPrefix = text.startsWith(before);
      const place = isPrefix && text.startsWith(whole) ? undefined : this.#contentPlace(messages, i, text, options);
      let start = before.length;
      if (!isPrefix) {
        const header = before.slice(render(messages.slice(0, i)).length);
        start = header === '' || place === undefined ? -1 : text.lastIndexOf(header, place.start - header.length);
        if (start === -1) throw failure(i);
        start += header.length;
      }
      let end = whole.length;
      if (place) {
        if (!text.startsWith(closing, place.end)) throw failure(i);
        end = place.end + closing.length;
      } else if (!text.startsWith(whole)) throw failure(i);
      // White space behind the end token is the next turn's affair.
      if (text.startsWith(closing, end - closing.length)) end -= closing.length - closing.trimEnd().length;
      if (start >= end) throw failure(i);
      return [[start, end]];
    });
    return { text, spans };
  }

  /** Where what a turn says begins (at the latest) and ends in `text`, seen by another text in its place. */
  #contentPlace(
    messages: readonly ChatTurn[],
    turn: number,
    text: string,
    options: Pick<RenderOptions, 'tools'>,
  ): { readonly start: number; readonly end: number } | undefined {
    const [mark] = unusedCharacters(JSON.stringify([messages, options.tools]), 1) as [string];
    const { tool_calls: _, ...message } = messages[turn]!;
    const changed = messages.map((one, i) => (i === turn ? ({ ...message, content: mark } as ChatTurn) : one));
    const other = this.#render(this.#plain, changed, options);
    const place = other.indexOf(mark);
    const rest = other.slice(place + 1);
    if (place === -1 || !text.endsWith(rest)) return undefined;
    return { start: Math.min(place, sharedLength(text, other)), end: text.length - rest.length };
  }

  /** Throws UserError where the template leaves out a part of the conversation. */
  #checkKept(text: string, messages: readonly ChatTurn[], { tools }: RenderOptions): void {
    const holds = (part: string) => text.includes(part.trim()) || text.includes(JSON.stringify(part).slice(1, -1));
    for (const [i, { role, content, tool_calls: calls }] of messages.entries()) {
      const lost = (what: string) =>
        new UserError(`${this.place}: the chat template leaves out ${what} turn ${i + 1} (${role})`);
      const parts = Array.isArray(content) ? content.map(({ text: part }: { text: string }) => part) : [content];
      // What the assistant thought may go.
      const texts = parts.flatMap((part) => (typeof part === 'string' ? [part.split('</think>').at(-1)!] : []));
      if (!texts.every(holds)) throw lost(Array.isArray(content) ? 'parts of' : 'the text of');
      const names = (Array.isArray(calls) ? calls : []).map((call) => call?.function?.name ?? call?.name);
      if (names.some((name) => typeof name === 'string' && !text.includes(name))) throw lost('a call of a tool in');
    }
    if (tools && tools.length > 0 && text === this.#render(this.#plain, messages, {}))
      throw new UserError(`${this.place}: the chat template leaves out the tools`);
  }
}

/** OpenAI's way to say that a turn of the assistant is not learned: weight 0. */
const isLearned = ({ weight }: ChatTurn): boolean => weight !== 0;

/** Characters for private use that a text does not hold. */
function unusedCharacters(text: string, count: number): string[] {
  const found: string[] = [];
  for (let code = 0xe000; found.length < count && code < 0xf8ff; code++) {
    const character = String.fromCharCode(code);
    if (!text.includes(character)) found.push(character);
  }
  return found;
}

function sharedLength(one: string, other: string): number {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length++;
  return length;
}

// A model's chat template: how a conversation becomes one text, and which parts of the text the assistant says.
// Templates are Jinja's; @huggingface/jinja runs them.
import { Template } from '@huggingface/jinja';
import { UserError } from '../base/errors.js';

/** A turn of a conversation, as templates read it. */
export type Turn = Readonly<Record<string, unknown>> & { readonly role: string };

export interface RenderOptions {
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

export class ChatTemplate {
  readonly #plain: Template;
  /** With marks in place of `{% generation %}` and its end; undefined where the template has none. */
  readonly #marked: Template | undefined;

  /**
   * @param tokens texts of special tokens by the names that templates call them: `bos_token`, `eos_token`.
   * @param place for messages. Throws a UserError, which begins with it, for a template that is none.
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
        return new Template(text);
      } catch (error) {
        throw new UserError(`${place}: not a chat template that is understood: ${(error as Error).message}`);
      }
    };
    this.#plain = parse(source);
    this.#marked = marked === source ? undefined : parse(marked);
  }

  /** The text of turns. Throws a UserError for what the template itself refuses, such as two user turns in a row. */
  render(messages: readonly Turn[], options: RenderOptions = {}): string {
    return this.#render(this.#plain, messages, options);
  }

  #render(
    template: Template,
    messages: readonly Turn[],
    { tools, generationPrompt = false }: RenderOptions,
    marks: object = {},
  ): string {
    let text: string;
    try {
      text = template.render({
        ...this.tokens,
        messages,
        ...(tools && { tools }),
        add_generation_prompt: generationPrompt,
        ...marks,
      });
    } catch (error) {
      throw new UserError(`${this.place}: the chat template refuses the conversation: ${(error as Error).message}`);
    }
    if (text.length > longestText) throw new UserError(`${this.place}: the chat template makes too long a text`);
    return text;
  }

  /**
   * The text of turns of which the last is the assistant's, and where the assistant speaks: what stands between
   * `{% generation %}` and `{% endgeneration %}`. Where a template has no such marks, it is what a turn of the assistant
   * adds to the text before it, up to the end token. Throws a UserError, too, where that cannot be told.
   */
  renderSpans(messages: readonly Turn[], options: Pick<RenderOptions, 'tools'> = {}): RenderedChat {
    return this.#marked ? this.#byMarks(this.#marked, messages, options) : this.#byDifference(messages, options);
  }

  #byMarks(template: Template, messages: readonly Turn[], options: Pick<RenderOptions, 'tools'>): RenderedChat {
    const [open, close] = unusedCharacters(JSON.stringify([messages, options.tools]), 2) as [string, string];
    const marked = this.#render(template, messages, options, { promot_open: open, promot_close: close });
    const spans: [number, number][] = [];
    let text = '';
    for (const part of marked.split(new RegExp(`(${open}|${close})`, 'u'))) {
      if (part === open) spans.push([text.length, text.length]);
      else if (part === close) spans.at(-1)![1] = text.length;
      else text += part;
    }
    return { text, spans: spans.filter(([start, end]) => end > start) };
  }

  #byDifference(messages: readonly Turn[], options: Pick<RenderOptions, 'tools'>): RenderedChat {
    const text = this.render(messages, options);
    const failure = (turn: number) =>
      new UserError(
        `${this.place}: the chat template does not say where turn ${turn + 1} begins or ends; ` +
          'mark it in a template of your own with {% generation %} and {% endgeneration %}',
      );
    const last = messages.length - 1;
    const closing = text.slice(this.#contentEnd(messages, last, text, options) ?? text.length);
    const spans = messages.flatMap(({ role }, i): [number, number][] => {
      if (role !== 'assistant') return [];
      const before = this.render(messages.slice(0, i), { ...options, generationPrompt: true });
      const start = text.startsWith(before) ? before.length : sharedLength(text, before);
      // A template may write a turn otherwise once others follow it (Qwen3 leaves out what was thought).
      const whole = this.render(messages.slice(0, i + 1), options);
      let end: number;
      let tail = closing;
      if (text.startsWith(whole)) end = whole.length;
      else {
        const content = this.#contentEnd(messages, i, text, options);
        if (content === undefined || !text.startsWith(closing, content)) throw failure(i);
        end = content + closing.length;
      }
      if (!text.startsWith(tail, end - tail.length)) tail = '';
      // White space behind the end token is the next turn's affair.
      end -= tail.length - tail.trimEnd().length;
      if (start >= end) throw failure(i);
      return [[start, end]];
    });
    return { text, spans };
  }

  /** Where the content of a turn ends in `text`, seen by a mark that is put behind it. */
  #contentEnd(
    messages: readonly Turn[],
    turn: number,
    text: string,
    options: Pick<RenderOptions, 'tools'>,
  ): number | undefined {
    const { content } = messages[turn]!;
    if (typeof content !== 'string') return undefined;
    const [mark] = unusedCharacters(JSON.stringify([messages, options.tools]), 1) as [string];
    const changed = messages.map((message, i) =>
      i === turn ? { ...message, content: `${content.trimEnd()}${mark}` } : message,
    );
    const place = this.render(changed, options).indexOf(mark);
    const end = place + content.length - content.trimEnd().length;
    if (place === -1) return undefined;
    // Templates that trim the content end it there; the others behind its white space.
    return text.startsWith(content.slice(content.trimEnd().length), place) ? end : place;
  }
}

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

// Conversations beside Transformers: golden/chat.py wrote texts, tokens and which of them the assistant says.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import { ChatTemplate, type ChatTurn } from '../tokenizer/chat-template.js';
import { loadTokenizer } from '../tokenizer/load.js';
import { chatTemplate, tokenizeChat } from './chat.js';

interface Case {
  readonly template: string;
  readonly conversation: string;
  readonly tokenizer: string;
  readonly text: string;
  readonly prompt: string;
  readonly ids: readonly number[];
  /** A digit a token: 1 where the assistant says it. */
  readonly mask: string;
}
interface Golden {
  readonly conversations: Readonly<Record<string, { messages: readonly ChatTurn[]; tools?: readonly unknown[] }>>;
  /** Templates with {% generation %}. */
  readonly marked: Readonly<Record<string, string>>;
  readonly refused: { readonly template: string; readonly message: string };
  readonly cases: readonly Case[];
}

const folder = fileURLToPath(new URL('../../golden/chat/', import.meta.url));
const golden = JSON.parse(readFileSync(`${folder}expected.json`, 'utf8')) as Golden;
const plain = (name: string) => readFileSync(`${folder}${name}.jinja`, 'utf8');
const tokenizers = new Map(['byte-level', 'gemma-like'].map((name) => [name, loadTokenizer(`${folder}${name}`)]));

describe.each(golden.cases.map((one) => [`${one.template}, ${one.conversation}, ${one.tokenizer}`, one] as const))(
  '%s',
  (_, { template: name, conversation, tokenizer: kind, text, prompt, ids, mask }) => {
    const tokenizer = tokenizers.get(kind)!;
    const { messages, tools } = golden.conversations[conversation]!;

    test.each([
      ['without marks', plain(name)],
      ['with {% generation %}', golden.marked[name]!],
    ])('%s', (_, source) => {
      const template = chatTemplate({ tokenizer }, source, 'test');
      const rendered = template.renderSpans(messages, { tools });
      expect(rendered.text).toBe(text);
      expect(template.render(messages.slice(0, -1), { tools, generationPrompt: true })).toBe(prompt);
      const { input, target, answers = [] } = tokenizeChat(rendered, tokenizer);
      // Nothing is predicted behind the last answer.
      expect([...input, ...target]).toEqual(ids.slice(0, mask.lastIndexOf('1') + 1));
      const said = new Set([...answers, ...target.map((_, i) => input.length + i)]);
      expect([...mask].map((_, i) => (said.has(i) ? '1' : '0')).join('')).toBe(mask);
    });
  },
);

describe('a template', () => {
  const turns = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b' },
  ];

  test('writes what is no text as Python does, or not at all', () => {
    const messages = [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: null, ok: true },
    ];
    const render = (source: string) => new ChatTemplate(source, {}, 'x').render(messages);
    // What Transformers 5.17 writes.
    expect(render('{% for m in messages %}{{ m.role }} {{ m.content }} {{ m.ok }};{% endfor %}{{ 2 / 1 }}')).toBe(
      'user a ;assistant None True;2.0',
    );
    expect(render('{% macro f(m) %}{{ m.content }}{% endmacro %}{{ f(messages[0]) }}{{ none }}')).toBe('aNone');
    expect(() => render('{{ messages[0].content.split() }}')).toThrow('it writes a list without tojson');
    expect(() => render('{{ messages[0] }}')).toThrow('it writes an object without tojson');
    // Templates that join the arguments of a call as a text.
    expect(() => render("{{ 'json: ' + messages[0] }}")).toThrow('it joins an object to a text');
  });

  test('that refuses a conversation says why', () => {
    const { template, message } = golden.refused;
    const of = new ChatTemplate(plain(template), {}, 'x.jsonl line 3');
    const twice = [turns[0]!, turns[0]!];
    expect(() => of.render(twice)).toThrow(UserError);
    expect(() => of.render(twice)).toThrow(`x.jsonl line 3: the chat template refuses the conversation: ${message}`);
  });

  test('that is none is refused', () => {
    expect(() => new ChatTemplate('{% for x in %}', {}, 'x')).toThrow('x: not a chat template that is understood');
  });

  test('that does not tell the turns apart is refused', () => {
    const of = new ChatTemplate('{% for m in messages %}{{ m.content }}{% endfor %}{{ messages | length }}', {}, 'x');
    expect(() => of.renderSpans([...turns, ...turns])).toThrow('does not say where turn 2 begins or ends');
  });

  test('does nothing but write text', () => {
    const of = new ChatTemplate('{{ messages.constructor }}{{ process }}{{ globalThis }}', {}, 'x');
    expect(of.render([])).toBe('');
  });

  const qwen3 = new ChatTemplate(plain('qwen3'), {}, 'x');
  const call = { type: 'function', function: { name: 'weather', arguments: {} } };
  test.each([
    ['a role', [{ role: 'developer', content: 'short!' }, ...turns], {}, 'the text of turn 1 (developer)'],
    ['parts', [{ role: 'user', content: [{ type: 'text', text: 'many' }] }, turns[1]!], {}, 'parts of turn 1 (user)'],
    ['tools', turns, { tools: [call] }, 'the tools'],
    ['calls', [turns[0]!, { ...turns[1]!, tool_calls: [call] }], {}, 'a call of a tool in turn 2 (assistant)'],
  ])('that leaves out %s is refused', (what, messages, options, lost) => {
    const of = ['tools', 'calls'].includes(what) ? new ChatTemplate(plain('smollm2'), {}, 'x') : qwen3;
    const message = `x: the chat template leaves out ${lost}`;
    expect(() => of.renderSpans(messages, options)).toThrow(message);
    expect(() => of.render(messages, options)).toThrow(message);
  });

  test.each([
    ['without marks', plain('qwen3')],
    ['with {% generation %}', golden.marked.qwen3!],
  ])('turns of weight 0 are not learned: %s', (_, source) => {
    const messages = [turns[0]!, { ...turns[1]!, content: 'no', weight: 0 }, turns[0]!, { ...turns[1]!, weight: 1 }];
    const { text, spans } = new ChatTemplate(source, {}, 'x').renderSpans(messages);
    expect(spans.map(([start, end]) => text.slice(start, end))).toEqual(['<think>\n\n</think>\n\nb<|im_end|>']);
  });

  test('is missing', () => {
    const tokenizer = tokenizers.get('byte-level')!;
    expect(() => chatTemplate({ tokenizer }, undefined, 'x')).toThrow('x: the model has no chat template');
  });
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { JsonObject } from '../base/json.js';
import { huggingFaceTokenizer } from './hugging-face.js';
import { loadTokenizer } from './load.js';

const golden = fileURLToPath(new URL('../../golden/tokenizers', import.meta.url));
const { texts } = JSON.parse(readFileSync(join(golden, 'expected.json'), 'utf8')) as { texts: string[] };
const odd = [
  'a <tool> b',
  'x<|im_end|>',
  'e\u0301',
  '\ud800',
  '\u00e9 \u{1f600}\ufeff',
  '  two  ',
  '\u0085\0\u00ad',
  '',
];

const read = (name: string, file: string) => JSON.parse(readFileSync(join(golden, name, file), 'utf8')) as JsonObject;
/** The golden tokenizer with its description changed. */
function tokenizer(name: string, change: (description: JsonObject) => void = () => {}, config: JsonObject = {}) {
  const description = read(name, 'tokenizer.json');
  change(description);
  return huggingFaceTokenizer({
    place: name,
    description,
    config: { ...read(name, 'tokenizer_config.json'), ...config },
  });
}
const backFrom = (of: ReturnType<typeof tokenizer>, text: string) =>
  of.decode(of.encode(text, { specialTokens: false }));

describe.each(['smollm', 'llama-bpe', 'qwen2'])('the byte-level tokenizer %s', (name) => {
  test('gives back what it is sure of, and is sure of most', () => {
    const one = tokenizer(name);
    const sure = [...texts, ...odd].filter((text) => one.keeps!(text));
    for (const text of sure) expect(backFrom(one, text)).toBe(text);
    expect(sure.length).toBeGreaterThan(texts.length / 2);
    for (const text of ['a <tool> b', 'x<|im_end|>', '\ud800', 'e\u0301'])
      expect([text, one.keeps!(text)]).toEqual([text, false]);
  });
});

test('a tokenizer of which a step may drop or change something is sure of nothing', () => {
  const model = (description: JsonObject) => description.model as { vocab: Record<string, number>; merges: string[][] };
  expect(tokenizer('smollm').keeps!('in')).toBe(true);
  const changes: Record<string, (description: JsonObject) => void> = {
    'a space in front': (it) => {
      it.pre_tokenizer = { type: 'ByteLevel', add_prefix_space: true };
    },
    'a normalizer': (it) => {
      it.normalizer = { type: 'Lowercase' };
    },
    'a removed part': (it) => {
      const split = { type: 'Split', pattern: { String: 'i' }, behavior: 'Removed', invert: false };
      const bytes = { type: 'ByteLevel', add_prefix_space: false };
      it.pre_tokenizer = { type: 'Sequence', pretokenizers: [split, bytes] };
    },
    'an id of two tokens': (it) => {
      const { vocab } = model(it);
      vocab.in = vocab.o!;
    },
  };
  for (const [what, change] of Object.entries(changes))
    expect([what, tokenizer('smollm', change).keeps!('in')]).toEqual([what, false]);
  // A token that decoding leaves out.
  expect(tokenizer('smollm', undefined, { eos_token: 'n' }).keeps!('in')).toBe(false);
  expect(loadTokenizer(join(golden, 'gemma')).keeps!('in')).toBe(false);
});

test('ids are not reached without a text that spells an added token; what a normalizer may spell is not known', () => {
  const added = (token: object) => (description: JsonObject) => {
    (description.added_tokens as object[]).push({
      id: 5000,
      content: '<new>',
      special: false,
      normalized: false,
      ...token,
    });
  };
  const one = tokenizer('smollm', added({}));
  expect(one.encode('a <new> b')).toContain(5000);
  expect(['a <new> b', 'a new b', ''].map((text) => one.mayReach!(text, 5000))).toEqual([true, false, false]);
  expect(one.mayReach!('a new b', 1)).toBe(true);
  expect(tokenizer('smollm', added({ normalized: true })).mayReach!('a new b', 5000)).toBe(true);
  // It stands at the end of every text.
  const ends = tokenizer('smollm', added({}), { eos_token: '<new>', add_eos_token: true });
  expect([ends.encode('a').at(-1), ends.mayReach!('a new b', 5000)]).toEqual([5000, true]);
});

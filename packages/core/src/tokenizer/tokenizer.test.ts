import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import { readGguf } from '../formats/gguf.js';
import { tokenizerFromGguf } from './gguf.js';
import { loadTokenizer } from './load.js';
import type { Tokenizer } from './tokenizer.js';

const golden = fileURLToPath(new URL('../../golden/tokenizers/', import.meta.url));
const shared = fileURLToPath(new URL('../../../../../shared/', import.meta.url));
const expected = JSON.parse(readFileSync(join(golden, 'expected.json'), 'utf8'));
const temporary = mkdtempSync(join(tmpdir(), 'promot-tokenizer-'));
afterAll(() => rmSync(temporary, { recursive: true }));

let folders = 0;
/** A folder that holds these files (name to content, or to the path of a file to copy). */
function folderOf(files: Record<string, { copy: string } | string | Uint8Array>): string {
  const folder = join(temporary, String(folders++));
  mkdirSync(folder);
  for (const [name, file] of Object.entries(files)) {
    if (typeof file === 'object' && !(file instanceof Uint8Array)) cpSync(file.copy, join(folder, name));
    else writeFileSync(join(folder, name), file);
  }
  return folder;
}

/** The tokenizer after its own files were written and read. */
function reloaded(tokenizer: Tokenizer): Tokenizer {
  return loadTokenizer(folderOf(Object.fromEntries(tokenizer.files())));
}

function expectIds(tokenizer: Tokenizer, texts: string[], ids: number[][]): void {
  for (const [i, text] of texts.entries()) expect([text, tokenizer.encode(text)]).toEqual([text, ids[i]]);
}

function expectDecoded(tokenizer: Tokenizer, ids: number[][], texts: string[]): void {
  for (const [i, row] of ids.entries()) expect(tokenizer.decode(row)).toBe(texts[i]);
}

function message(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as Error).message;
  }
  throw new Error('nothing was thrown');
}

describe('T5 from spiece.model', () => {
  const tokenizer = loadTokenizer(join(golden, 't5'));

  test('gives the ids of SentencePiece and the text of Transformers', () => {
    expectIds(tokenizer, expected.texts, expected.t5.ids);
    expectDecoded(tokenizer, expected.t5.ids, expected.t5.decoded);
  });

  test('knows special tokens and sentinels in a text', () => {
    expectIds(tokenizer, expected.specialTexts, expected.t5.special);
    for (const [i, ids] of expected.t5.special.entries()) {
      expect(tokenizer.decode(ids, { specialTokens: true })).toBe(expected.t5.specialDecoded[i]);
    }
    const top = tokenizer.vocabularySize - 1;
    expect(tokenizer.sentinels.slice(0, 2)).toEqual([top, top - 1]);
    expect(tokenizer.sentinels).toHaveLength(100);
    expect(tokenizer.idOf('<extra_id_0>')).toBe(top);
    expect([tokenizer.padding, tokenizer.endOfSequence, tokenizer.beginningOfSequence]).toEqual([0, 1, undefined]);
  });

  test('special tokens can be left away, and unknown ids are dropped', () => {
    const ids = tokenizer.encode('The cat', { specialTokens: false });
    expect(ids).toEqual(tokenizer.encode('The cat').slice(0, -1));
    expect(tokenizer.decode([...ids, 99_999, tokenizer.sentinels[3]!, -1, 1, 0])).toBe('The cat');
    expect(tokenizer.decode([])).toBe('');
  });

  test('is the same after its files were written and read', () => {
    const again = reloaded(tokenizer);
    expectIds(again, expected.texts, expected.t5.ids);
    expectDecoded(again, expected.t5.ids, expected.t5.decoded);
    expect(again.sentinels).toEqual(tokenizer.sentinels);
    expect([again.padding, again.endOfSequence, again.vocabularySize]).toEqual([0, 1, tokenizer.vocabularySize]);
  });
});

test("mT5's sentinels are pieces of its spiece.model", () => {
  const tokenizer = loadTokenizer(join(golden, 'mt5'));
  expectIds(tokenizer, expected.mt5.texts, expected.mt5.ids);
  expect(tokenizer.vocabularySize).toBe(expected.mt5.size);
  expect(tokenizer.sentinels).toHaveLength(100);
  expect(tokenizer.sentinels[0]).toBe(expected.mt5.size - 1);
  expect(tokenizer.decode([tokenizer.sentinels[0]!, ...tokenizer.encode('it is')])).toBe('it is');
  expectIds(reloaded(tokenizer), expected.mt5.texts, expected.mt5.ids);
});

test("an mT5 whose vocabulary has the bytes makes <unk> of what it lacks, as T5's class does", () => {
  expectIds(loadTokenizer(join(golden, 'mt5-bytes')), expected.mt5Bytes.texts, expected.mt5Bytes.ids);
});

test('a unigram tokenizer.json falls back on bytes where it says so', () => {
  const tokenizer = loadTokenizer(join(golden, 'unigram-bytes'));
  expectIds(tokenizer, expected.texts, expected.unigramBytes.ids);
  expectDecoded(tokenizer, expected.unigramBytes.ids, expected.unigramBytes.decoded);
});

test.each(expected.classes as { config: object; template: boolean; before: boolean; after: boolean }[])(
  'what stands around a text: $config.tokenizer_class, a template $template, $config.add_bos_token',
  ({ config, template, before, after }) => {
    const description = JSON.parse(readFileSync(join(golden, 'smollm/tokenizer.json'), 'utf8'));
    const ends = { '<|endoftext|>': 0, '<|im_end|>': 1 };
    if (template)
      description.post_processor = {
        type: 'TemplateProcessing',
        single: [
          { SpecialToken: { id: '<|endoftext|>', type_id: 0 } },
          { Sequence: { id: 'A', type_id: 0 } },
          { SpecialToken: { id: '<|im_end|>', type_id: 0 } },
        ],
        pair: [],
        special_tokens: Object.fromEntries(
          Object.entries(ends).map(([id, number]) => [id, { id, ids: [number], tokens: [id] }]),
        ),
      };
    const files = { 'tokenizer.json': JSON.stringify(description), 'tokenizer_config.json': JSON.stringify(config) };
    const ids = loadTokenizer(folderOf(files)).encode('the cat');
    expect([ids[0] === 0, ids.at(-1) === 1]).toEqual([before, after]);
  },
);

describe("Llama 2's SentencePiece BPE with byte fallback", () => {
  test('from tokenizer.model', () => {
    const tokenizer = loadTokenizer(join(golden, 'llama'));
    expectIds(tokenizer, expected.texts, expected.llama.ids);
    expectDecoded(tokenizer, expected.llama.ids, expected.llama.decoded);
    expect([tokenizer.beginningOfSequence, tokenizer.endOfSequence]).toEqual([1, 2]);
    expectIds(reloaded(tokenizer), expected.texts, expected.llama.ids);
  });

  test('from GGUF', () => {
    const tokenizer = tokenizerFromGguf(readGguf(join(golden, 'llama.gguf')).metadata);
    expectIds(tokenizer, expected.texts, expected.llama.ids);
    expectDecoded(tokenizer, expected.llama.ids, expected.llama.decoded);
  });

  test('tokenizer_config.json decides on the tokens around a text', () => {
    const model = { copy: join(golden, 'llama/tokenizer.model') };
    const config = (value: object) =>
      folderOf({ 'tokenizer.model': model, 'tokenizer_config.json': JSON.stringify(value) });
    const plain = loadTokenizer(config({ add_bos_token: false, add_eos_token: false }));
    const both = loadTokenizer(config({ add_bos_token: true, add_eos_token: true }));
    const ids = expected.llama.ids[3].slice(1);
    expect(plain.encode(expected.texts[3])).toEqual(ids);
    expect(both.encode(expected.texts[3])).toEqual([1, ...ids, 2]);
  });
});

test.each(['gemma', 'gemma.gguf'])("Gemma's SentencePiece BPE with symbols of its own from %s", (name) => {
  const place = join(golden, name);
  const tokenizer = name.endsWith('.gguf') ? tokenizerFromGguf(readGguf(place).metadata) : loadTokenizer(place);
  const { texts } = expected.gemma;
  expectIds(tokenizer, texts, expected.gemma.ids);
  expectDecoded(tokenizer, expected.gemma.ids, expected.gemma.decoded);
  expect([tokenizer.beginningOfSequence, tokenizer.endOfSequence, tokenizer.padding]).toEqual([2, 1, 0]);
  expectIds(reloaded(tokenizer), texts, expected.gemma.ids);
});

describe.each(['smollm', 'llama-bpe', 'qwen2'])('byte-level BPE of %s', (name) => {
  const { ids, decoded, special } = expected.byteLevel[name];

  test('from tokenizer.json, its truncation and padding ignored', () => {
    const tokenizer = loadTokenizer(join(golden, name));
    expectIds(tokenizer, expected.texts, ids);
    expectDecoded(tokenizer, ids, decoded);
    expect(tokenizer.encode('a <tool> b<|im_end|>\n12345')).toEqual(special);
    expect([tokenizer.endOfSequence, tokenizer.padding, tokenizer.beginningOfSequence]).toEqual([1, 1, undefined]);
    expectIds(reloaded(tokenizer), expected.texts, ids);
  });

  test('from GGUF', () => {
    const tokenizer = tokenizerFromGguf(readGguf(join(golden, `${name}.gguf`)).metadata);
    expectIds(tokenizer, expected.texts, ids);
    expectDecoded(tokenizer, ids, decoded);
    expect(tokenizer.encode('a <tool> b<|im_end|>\n12345')).toEqual(special);
    expectIds(reloaded(tokenizer), expected.texts, ids);
  });
});

test("ByT5's tokens are bytes", () => {
  const tokenizer = loadTokenizer(join(golden, 'byt5'));
  const { ids, decoded, special, broken } = expected.byt5;
  expectIds(tokenizer, expected.texts.slice(0, ids.length), ids);
  expectDecoded(tokenizer, ids, decoded);
  expect(tokenizer.encode(special.text)).toEqual(special.ids);
  expect(tokenizer.decode(broken.ids)).toBe(broken.decoded);
  expect(tokenizer.decode([400, 99_999])).toBe('');
  expect([tokenizer.vocabularySize, tokenizer.sentinels.length, tokenizer.sentinels[0]]).toEqual([384, 125, 259]);
  expectIds(reloaded(tokenizer), expected.texts.slice(0, ids.length), ids);
});

test("ByT5's added tokens", () => {
  const tokenizer = loadTokenizer(join(golden, 'byt5-added'));
  const { texts, ids, size, decoded } = expected.byt5.added;
  expectIds(tokenizer, texts, ids);
  expectDecoded(tokenizer, ids, decoded);
  expect([tokenizer.vocabularySize, tokenizer.sentinels.length, tokenizer.idOf('<tool>')]).toEqual([size, 125, 384]);
  expectIds(reloaded(tokenizer), texts, ids);
});

describe.each(['t5-v1.1', 't5-v1.0', 'llama', 'qwen2'])('the golden model %s', (name) => {
  test('tokens, with and without special tokens, and texts are those of Transformers', () => {
    const folder = join(golden, '../models', name);
    const tokenizer = loadTokenizer(folder);
    const { tokens, tokenizer: ids } = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'));
    for (const token of tokens) {
      expect(tokenizer.encode(token.text)).toEqual(token.ids);
      expect(tokenizer.encode(token.text, { specialTokens: false })).toEqual(token.idsWithoutSpecialTokens);
      expect(tokenizer.decode(token.ids)).toBe(token.decoded);
      expect(tokenizer.decode(token.ids, { specialTokens: true })).toBe(token.decodedWithSpecialTokens);
    }
    expect(tokenizer.vocabularySize).toBe(ids.size);
    expect(tokenizer.beginningOfSequence ?? null).toBe(ids.beginningOfSequence);
    expect([tokenizer.endOfSequence, tokenizer.padding]).toEqual([ids.endOfSequence, ids.padding ?? ids.endOfSequence]);
  });
});

describe('special tokens from the files beside tokenizer.json', () => {
  const json = { copy: join(golden, 'smollm/tokenizer.json') };

  test('generation_config.json and config.json are asked where the tokenizer is silent', () => {
    const files = {
      'tokenizer.json': json,
      'config.json': '{"bos_token_id": 3, "eos_token_id": [0, 1], "pad_token_id": 4}',
      'generation_config.json': '{"eos_token_id": [1, 0]}',
    };
    const tokenizer = loadTokenizer(folderOf(files));
    expect([tokenizer.beginningOfSequence, tokenizer.endOfSequence, tokenizer.padding]).toEqual([3, 1, 4]);
  });

  test('special_tokens_map.json names them, and a new one gets the next id', () => {
    const map = '{"eos_token": {"content": "<|endoftext|>"}, "pad_token": "<pad>"}';
    const tokenizer = loadTokenizer(folderOf({ 'tokenizer.json': json, 'special_tokens_map.json': map }));
    const plain = loadTokenizer(join(golden, 'smollm'));
    expect([tokenizer.endOfSequence, tokenizer.padding]).toEqual([0, plain.vocabularySize]);
    expect(tokenizer.decode(tokenizer.encode('it is<pad>'))).toBe('it is');
  });

  test('added_tokens.json adds ordinary tokens', () => {
    const plain = loadTokenizer(join(golden, 'smollm'));
    const added = JSON.stringify({ '<new>': plain.vocabularySize });
    const tokenizer = loadTokenizer(folderOf({ 'tokenizer.json': json, 'added_tokens.json': added }));
    expect(tokenizer.encode('<new>')).toEqual([plain.vocabularySize]);
    expect(tokenizer.decode([plain.vocabularySize])).toBe('<new>');
  });
});

describe('bad input', () => {
  test('a folder without a tokenizer', () => {
    expect(message(() => loadTokenizer(folderOf({})))).toMatch(/has no tokenizer/);
    expect(message(() => loadTokenizer(join(temporary, 'missing')))).toMatch(/is not a folder/);
  });

  test('damaged files', () => {
    expect(message(() => loadTokenizer(folderOf({ 'tokenizer.json': '{"model":' })))).toMatch(
      /tokenizer.json is not JSON/,
    );
    expect(message(() => loadTokenizer(folderOf({ 'tokenizer.json': '[]' })))).toMatch(/must hold a JSON object/);
    expect(message(() => loadTokenizer(folderOf({ 'tokenizer.json': '{}' })))).toMatch(/no "model"/);
    const odd = '{"model": {"type": "BPE", "vocab": {}, "merges": []}, "decoder": {"type": "Rot13"}}';
    expect(message(() => loadTokenizer(folderOf({ 'tokenizer.json': odd })))).toMatch(/not understood.*Rot13/);
    const five = '{"model": {"type": "BPE", "vocab": 5, "merges": []}}';
    expect(message(() => loadTokenizer(folderOf({ 'tokenizer.json': five })))).toMatch(
      /model\.vocab is not a vocabulary/,
    );
    const whole = readFileSync(join(golden, 't5/spiece.model'));
    for (const cut of [1, 100, 5000, whole.length - 10]) {
      const folder = folderOf({});
      writeFileSync(join(folder, 'spiece.model'), whole.subarray(0, cut));
      expect(message(() => loadTokenizer(folder))).toMatch(/SentencePiece|precompiled_charsmap/);
    }
  });

  test.each([
    ['model', 'vocab', { a: 1.5 }, /model\.vocab: "a" has the id 1\.5/],
    ['model', 'vocab', { a: 2 ** 40 }, /model\.vocab: "a" has the id 1099511627776/],
    ['model', 'merges', [['a']], /model\.merges\.0: \["a"\] is no pair/],
    ['model', 'merges', [null], /model\.merges\.0: null is no pair/],
    ['model', 'byte_fallback', 'yes', /model\.byte_fallback/],
    ['decoder', 'type', 5, /decoder\.type/],
    ['added_tokens', '0', null, /tokenizer\.json: added_tokens: a list of objects/],
    ['pre_tokenizer', 'type', 'TemplateProcessing', /pre_tokenizer: a TemplateProcessing needs "single"/],
    ['pre_tokenizer', 'pretokenizers', 5, /pre_tokenizer\.pretokenizers: a list is needed/],
    ['pre_tokenizer', 'pretokenizers', [null], /pre_tokenizer\.pretokenizers\.0: /],
    [
      'pre_tokenizer',
      'pretokenizers',
      [{ type: 'Split', pattern: { Regex: '(' }, behavior: 'Isolated' }],
      /not understood/,
    ],
    ['pre_tokenizer', 'type', 'Sequence9', /not understood|pre_tokenizer/],
  ])('tokenizer.json with %s.%s %j', (part, key, value, reason) => {
    const description = JSON.parse(readFileSync(join(golden, 'smollm/tokenizer.json'), 'utf8'));
    description[part][key] = value;
    const folder = folderOf({ 'tokenizer.json': JSON.stringify(description) });
    expect(message(() => loadTokenizer(folder))).toMatch(reason);
    expect(message(() => loadTokenizer(folder))).toContain(folder);
  });

  test('absurd numbers of tokens', () => {
    const t5 = { copy: join(golden, 't5/spiece.model') };
    const config = (value: object) => ({ 'spiece.model': t5, 'tokenizer_config.json': JSON.stringify(value) });
    expect(message(() => loadTokenizer(folderOf(config({ extra_ids: 200_000_000 }))))).toMatch(
      /extra_ids is 200000000/,
    );
    const byt5 = { tokenizer_class: 'ByT5Tokenizer', extra_ids: 1e9 };
    expect(message(() => loadTokenizer(folderOf({ 'tokenizer_config.json': JSON.stringify(byt5) })))).toMatch(
      /extra_ids/,
    );
    const long = JSON.parse(readFileSync(join(golden, 'smollm/tokenizer.json'), 'utf8'));
    long.model.vocab['a'.repeat(3000)] = 5;
    expect(message(() => loadTokenizer(folderOf({ 'tokenizer.json': JSON.stringify(long) })))).toMatch(
      /model\.vocab: a token of 3000 characters/,
    );
    const { metadata } = readGguf(join(golden, 'gemma.gguf'));
    const tokens = [...(metadata.get('tokenizer.ggml.tokens') as string[])];
    tokens[300] = 'ab'.repeat(2000);
    expect(
      message(() => tokenizerFromGguf(new Map([...metadata, ['tokenizer.ggml.tokens', tokens]]), 'x.gguf')),
    ).toMatch(/x\.gguf: a token of 4000 characters/);
    const far = { added_tokens_decoder: { 1099511627776: { content: 'x' } } };
    expect(message(() => loadTokenizer(folderOf(config(far))))).toMatch(/"1099511627776" is no token id/);
  });

  test('GGUF metadata without a known tokenizer', () => {
    const { metadata } = readGguf(join(golden, 'smollm.gguf'));
    const changed = (key: string, value: string | number[]) => new Map([...metadata, [`tokenizer.ggml.${key}`, value]]);
    expect(message(() => tokenizerFromGguf(changed('pre', 'martian')))).toMatch(/pre-tokenizer "martian" is not known/);
    expect(message(() => tokenizerFromGguf(changed('model', 'bert')))).toMatch(/kind "bert" is not supported/);
    expect(message(() => tokenizerFromGguf(changed('tokens', [1, 2])))).toMatch(/tokens is missing or damaged/);
  });
});

/** Real tokenizers lie beside the repository on some machines. */
const tokenizers = join(shared, 'tokenizers');
describe.skipIf(!existsSync(tokenizers))('real tokenizers of ../shared (skipped where they are absent)', () => {
  const t5 = (name: string) => ({ copy: join(tokenizers, 't5', name) });
  const config = t5('tokenizer_config.json');

  test.each([
    ["t5-small's tokenizer.json", { 'tokenizer.json': t5('tokenizer.t5-small.json'), 'tokenizer_config.json': config }],
    ["flan-t5-small's tokenizer.json", { 'tokenizer.json': t5('tokenizer.flan-t5-small.json') }],
    ['spiece.model', { 'spiece.model': t5('spiece.model'), 'tokenizer_config.json': config }],
  ])('all 1,995 T5 cases from %s', (_name, files) => {
    const cases = JSON.parse(readFileSync(join(tokenizers, 't5/t5-base-tests.json'), 'utf8')) as [
      string,
      number[],
      string,
    ][];
    const tokenizer = loadTokenizer(folderOf({ ...files, 'tokenizer_config.json': config }));
    expect(cases).toHaveLength(1995);
    for (const [text, ids, decoded] of cases) {
      expect([text, tokenizer.encode(text)]).toEqual([text, ids]);
      // The cases put a space after every <unk>, as a tokenizer of before Transformers 5 did.
      const shown = tokenizer.decode(ids, { specialTokens: true });
      expect(shown.replace(/<unk> ?/g, '<unk>')).toBe(decoded.replace(/<unk> ?/g, '<unk>'));
    }
    expect([tokenizer.vocabularySize, tokenizer.sentinels[0]]).toEqual([32_100, 32_099]);
  });

  test("SmolLM2's tokenizer.json gives every data line back", () => {
    const tokenizer = loadTokenizer(
      folderOf({ 'tokenizer.json': { copy: join(tokenizers, 'smollm2/tokenizer.json') } }),
    );
    expect([tokenizer.vocabularySize, tokenizer.endOfSequence, tokenizer.idOf('<|im_start|>')]).toEqual([49_152, 2, 1]);
    for (const set of readdirSync(join(shared, 'data'))) {
      const file = join(shared, 'data', set, 'train.jsonl');
      if (!existsSync(file)) continue;
      for (const line of readFileSync(file, 'utf8').split('\n').slice(0, 50)) {
        expect(tokenizer.decode(tokenizer.encode(line))).toBe(line);
      }
    }
  });
});

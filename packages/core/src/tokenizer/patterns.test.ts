import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type RunningScriptOptions, Script } from 'node:vm';
import { describe, expect, test, vi } from 'vitest';
import { libraryTokenizer } from './library.js';
import { loadTokenizer } from './load.js';
import { freeLength, patternsOf, ways, withinTime } from './patterns.js';

const golden = fileURLToPath(new URL('../../golden/tokenizers/', import.meta.url));

describe('how much a pattern may cost', () => {
  test.each([
    [/a/u, 1],
    [/\p{L}+|[^\]\s]*x/u, 201],
    [/'s|'t| ?\p{L}+/u, 202],
    [/\s*[\r\n]+|\s+(?!\S)|\s+/u, 10_300],
    [/\d{1,3}(?=(?:\d{3})*\b)/u, 303],
    [/(?:'[sS]|'[tT])?x{2}(?<=x)/u, 3],
    [/a?a?a?b/u, 8],
    [/(a|b)(c|d)/u, 4],
  ])('%s in a text of 100 characters', (pattern, expected) => {
    // `*` has one way more than `+`.
    const cost = ways(pattern, 100);
    expect(cost).toBeGreaterThanOrEqual(expected);
    expect(cost).toBeLessThan(expected + 5);
  });

  test.each([/(a+)+$/u, /(a|aa)*b/u, /(?:a*){2,}/u, /(\w)\1/u])('%s has no bound', (pattern) => {
    expect(ways(pattern, 100)).toBe(Number.POSITIVE_INFINITY);
    expect(freeLength([pattern])).toBeLessThan(3);
  });

  test('real tokenizers run free on texts of usual length', () => {
    for (const name of ['llama-bpe', 'qwen2', 'smollm', 'unigram-bytes']) {
      const library = libraryTokenizer(JSON.parse(readFileSync(join(golden, name, 'tokenizer.json'), 'utf8')));
      const patterns = patternsOf([library.normalizer, library.pre_tokenizer]);
      expect(patterns.length).toBeGreaterThan(0);
      expect(freeLength(patterns), name).toBeGreaterThanOrEqual(2048);
    }
  });
});

test('a hostile pattern ends with an error that names the file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'promot-pattern-'));
  try {
    const description = JSON.parse(readFileSync(join(golden, 'smollm', 'tokenizer.json'), 'utf8'));
    description.pre_tokenizer = { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated', invert: false };
    writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(description));
    const tokenizer = loadTokenizer(folder);
    expect(tokenizer.encode('aab').length).toBeGreaterThan(0);
    // The limit is for people's long texts: here it ends after a fiftieth.
    const run = Script.prototype.runInContext;
    const watched = vi.spyOn(Script.prototype, 'runInContext').mockImplementation(function (
      this: Script,
      context,
      options,
    ) {
      const { timeout = 0 } = options as RunningScriptOptions;
      expect(timeout).toBeGreaterThan(10_000);
      return run.call(this, context, { timeout: Math.ceil(timeout / 50) });
    });
    const message = `${folder}: a pattern of tokenizer.json takes more than 10.007 s`;
    expect(() => tokenizer.encode(`${'a'.repeat(60)}b`)).toThrow(
      expect.objectContaining({ code: 'damaged-file', message: expect.stringContaining(message) }),
    );
    expect(watched).toHaveBeenCalledOnce();
  } finally {
    vi.restoreAllMocks();
    rmSync(folder, { recursive: true });
  }
});

test('what runs in time comes back, one within the other, too; other errors pass', () => {
  expect(withinTime('x', 1, () => [withinTime('x', 1, () => 1), withinTime('x', 1, () => 2)])).toEqual([1, 2]);
  expect(() =>
    withinTime('x', 1, () => {
      throw new TypeError('other');
    }),
  ).toThrow(TypeError);
});

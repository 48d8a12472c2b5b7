import { expect, test } from 'vitest';
import { parseBoundedJson } from './bounded-json.js';

const nested = (depth: number) => `${'[{"a":'.repeat(depth / 2)}1${'}]'.repeat(depth / 2)}`;

test('nesting is bounded, what is beside or inside of texts does not count', () => {
  expect(JSON.stringify(parseBoundedJson(nested(500)))).toBe(nested(500));
  expect(() => parseBoundedJson(nested(502))).toThrow(new SyntaxError('it is nested more than 500 deep'));
  expect(() => parseBoundedJson(nested(400_000))).toThrow('more than 500 deep');
  const wide = JSON.stringify([...Array(1000)].map((_, i) => [`"[\\${'['.repeat(i)}`, {}]));
  expect(JSON.stringify(parseBoundedJson(wide))).toBe(wide);
  expect(() => parseBoundedJson(`${'['.repeat(400)}"${'['.repeat(400)}`)).toThrow(SyntaxError);
});

test('bytes give what their text gives', () => {
  // Of U+5B22 and U+225B one byte is a bracket and one a quote in UTF-16, and none in UTF-8.
  const text = JSON.stringify({ '\u5b22\u225b': ['\\"['.repeat(300), '\u5b22'.repeat(600), ...'{}[]"'] });
  expect(parseBoundedJson(Buffer.from(text))).toEqual(JSON.parse(text));
  // A part of a larger buffer.
  expect(parseBoundedJson(new Uint8Array(Buffer.from(`[[${text}`)).subarray(2))).toEqual(JSON.parse(text));
  expect(() => parseBoundedJson(Buffer.from(nested(502)))).toThrow('more than 500 deep');
});

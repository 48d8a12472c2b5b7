import { expect, test } from 'vitest';
import { readTokenList, writeTokenList } from './token-list.js';

test('a list is read, and written so that it is read the same', () => {
  expect(readTokenList('{,},\\n,\\,,\\\\')).toEqual(['{', '}', '\n', ',', '\\']);
  const tokens = ['a', '\t', ',', '\\n', '"'];
  expect(readTokenList(writeTokenList(tokens))).toEqual(tokens);
  expect(() => readTokenList('a,,b')).toThrow(/a token is empty/u);
  expect(() => readTokenList('\\x')).toThrow(/a backslash stands before/u);
});

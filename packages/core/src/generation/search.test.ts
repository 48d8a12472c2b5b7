// Beam search's bookkeeping on hand-made candidates, and stop strings.
import { expect, test } from 'vitest';
import { BeamSearch, type SearchRules } from './search.js';
import { cutAtStop, endsWithStop } from './stop.js';

const end = 1;
const rules: SearchRules = {
  maxNewTokens: 10,
  ends: new Set([end]),
  stops: () => false,
  penalty: (length) => length,
};
const candidate = (beam: number, token: number, score: number) => ({ beam, token, score });

test('a complete candidate counts only among the first K, and the search ends when no beam can be better', () => {
  const search = new BeamSearch(2, rules);
  // The end ranks third of four: it is dropped, not held.
  const first = [candidate(0, 5, -1), candidate(0, 6, -2), candidate(0, end, -3), candidate(0, 7, -4)];
  expect(search.advance(first)).toEqual(first.slice(0, 2));
  // One hypothesis of -1.5 / 2: K are not held yet, so it goes on however good that one is.
  const second = [candidate(0, end, -1.5), candidate(1, 8, -9), candidate(0, 9, -9.5), candidate(1, 9, -10)];
  expect(search.advance(second)).toEqual([second[1], second[2]]);
  // The second: -9.3 / 3. The best beam has -9.4 / 3, worse than both: over.
  const third = [candidate(0, end, -9.3), candidate(1, 4, -9.4), candidate(0, 3, -12), candidate(1, end, -13)];
  expect(search.advance(third)).toEqual([]);
  expect(search.best()).toEqual({ ids: [5], score: -0.75, finished: true });
});

test('a beam that can still win keeps the search going; tokens follow their beams', () => {
  const search = new BeamSearch(2, rules);
  search.advance([candidate(0, end, -1), candidate(0, 5, -1.2), candidate(0, 6, -1.3), candidate(0, 7, -8)]);
  // Held are -1.9 / 2 and -1 / 1; the best beam has -1.25 / 2.
  const second = [candidate(0, 7, -1.25), candidate(1, end, -1.9), candidate(1, 3, -7), candidate(1, 4, -8)];
  expect(search.advance(second)).toEqual([second[0], second[2]]);
  expect(search.advance([candidate(0, end, -1.5), candidate(0, 4, -9), candidate(1, 4, -10)])).toEqual([]);
  expect(search.best()).toEqual({ ids: [5, 7], score: -0.5, finished: true });
});

test('at the largest length the best candidates are taken as they are', () => {
  const search = new BeamSearch(2, { ...rules, maxNewTokens: 2 });
  search.advance([candidate(0, 5, -1), candidate(0, 6, -2), candidate(0, 7, -3), candidate(0, 8, -4)]);
  expect(
    search.advance([candidate(1, 9, -3), candidate(0, end, -4), candidate(0, 9, -5), candidate(1, 8, -6)]),
  ).toEqual([]);
  expect(search.best()).toEqual({ ids: [6, 9], score: -1.5, finished: false });
});

test('where stop strings leave fewer than K, copies without a chance fill up', () => {
  const search = new BeamSearch(2, { ...rules, stops: (ids) => ids.at(-1) !== 7 });
  const goOn = search.advance([candidate(0, 5, -1), candidate(0, 7, -2), candidate(0, 8, -3), candidate(0, 9, -4)]);
  expect(goOn).toEqual([candidate(0, 7, -2), candidate(0, 7, -1e9)]);
});

test('stop strings are found across tokens and cut the text at the first', () => {
  const text = (ids: readonly number[]) => ids.map((id) => String.fromCharCode(id)).join('');
  const stops = endsWithStop({ strings: ['\n\nQ:', 'END'], decode: text });
  const ids = [...'a long answer of many tokens\n\nQ:'].map((c) => c.charCodeAt(0));
  expect(stops(ids)).toBe(true);
  expect(stops(ids.slice(0, -1))).toBe(false);
  expect(stops([])).toBe(false);
  expect(cutAtStop('one END two\n\nQ: three', ['\n\nQ:', 'END'])).toBe('one ');
  expect(cutAtStop('one', ['END'])).toBe('one');
});

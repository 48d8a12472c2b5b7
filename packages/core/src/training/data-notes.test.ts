import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { Example } from '../tasks/task.js';
import { loadTokenizer } from '../tokenizer/load.js';
import { dataNotes } from './data-notes.js';

const example = (target: string, input = 'in'): Example => ({
  input,
  target,
  references: [target],
  record: {},
  location: `data line ${target.length}`,
});
const folder = (name: string) => fileURLToPath(new URL(`../../golden/models/${name}`, import.meta.url));
const load = (name: string, kind: 'encoder-decoder' | 'decoder-only') => ({
  tokenizer: loadTokenizer(folder(name)),
  model: { kind, shape: { endOfSequence: [1] } },
});

test('targets that T5 has no tokens for are counted and shown', () => {
  const t5 = load('t5-v1.1', 'encoder-decoder');
  const train = [example('the cat'), example('{"a": 1}'), example('two\nlines')];
  const [note, ...others] = dataNotes({ name: 'x' }, train, [], t5);
  expect(others).toEqual([]);
  expect(note).toMatch(
    /^task x: 2 of 3 targets cannot be written with the model's tokens: "\{\\"a\\": 1\}" \(data line 8\) becomes "/,
  );
  expect(note).toContain("Add what is missing: --add-tokens '");
  expect(note).toContain('\\n');
  const llama = load('llama', 'decoder-only');
  expect(dataNotes({ name: 'x' }, train, [], llama)).toEqual([]);
});

test('inputs with characters that the model does not know are counted and shown', () => {
  const t5 = load('t5-v1.1', 'encoder-decoder');
  const [note, ...others] = dataNotes({ name: 'x' }, [example('the', 'a \u4e2d'), example('cat', 'the dog')], [], t5);
  expect(others).toEqual([]);
  expect(note).toMatch(
    /^task x: 1 of 2 inputs hold characters that the model does not know, such as "\u4e2d" \(data line 3\)/u,
  );
});

test('characters that only whole words of the vocabulary hold are known', () => {
  const words = { encode: (text: string) => text.split(' ').map((word) => (word === 'cat' ? 5 : 0)), unknown: 0 };
  const { tokenizer, model } = load('t5-v1.1', 'encoder-decoder');
  const t5 = { tokenizer: Object.assign(Object.create(tokenizer) as typeof tokenizer, words), model };
  const notes = (...inputs: string[]) =>
    dataNotes(
      { name: 'x' },
      inputs.map((input) => example('', input)),
      [],
      t5,
    );
  expect(notes('cat', 'cat cat').filter((note) => note.includes('characters'))).toEqual([]);
  expect(notes('cat', 'cat dog').join()).toContain('1 of 2 inputs hold characters');
});

test('labels of the same tokens', () => {
  const t5 = load('t5-v1.1', 'encoder-decoder');
  const notes = dataNotes({ name: 'x', labels: ['the cat', 'the  cat', 'the dog'] }, [], [], t5);
  expect(notes).toEqual([
    'task x: the labels "the cat" and "the  cat" are the same tokens to this model: it cannot tell them apart. ' +
      'Rename them',
  ]);
});

test('examples in both splits', () => {
  const llama = load('llama', 'decoder-only');
  const notes = dataNotes({ name: 'x' }, [example('a'), example('b')], [example('b'), example('a', 'other')], llama);
  expect(notes).toHaveLength(1);
  expect(notes[0]).toMatch(/^task x: 1 of 2 validation examples are training examples, too, such as data line 1/);
});

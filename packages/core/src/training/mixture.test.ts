// Mixtures: what share of every batch each source has, that every example has its own task's prompt, and replay has
// none.
import { fileURLToPath } from 'node:url';
import { zeros } from '@promot/torch';
import { describe, expect, test } from 'vitest';
import { loadFolder } from '../models/load.js';
import type { Example, Task } from '../tasks/task.js';
import { TrainingExamples } from './examples.js';
import { Mixture, mixingRates, type Source } from './mixture.js';

const loaded = loadFolder(fileURLToPath(new URL('../../golden/models/t5-v1.1', import.meta.url)), 'float32');

/** Examples whose text tells where they come from. */
function source(word: string, size: number, rate: number, more: Partial<Source> = {}): Source {
  const examples: Example[] = Array.from({ length: size }, (_, i) => ({
    input: `${word} ${i}`,
    target: word,
    references: [word],
    record: {},
    location: '',
  }));
  const options = { loaded, seed: size, maxInputLength: 0 };
  return { examples: new TrainingExamples({ name: word } as Task, examples, options), shots: 0, rate, ...more };
}

const mixture = (sources: readonly Source[], batchSize = 8) => new Mixture(sources, { batchSize, stage: 1 });

describe('a mixture', () => {
  test('gives each source its share of every batch, as nearly as whole numbers allow', () => {
    const mixed = mixture([source('river', 50, 3), source('garden', 7, 1)]);
    for (let step = 1; step <= 20; step++) expect(mixed.counts(step).counts).toEqual([6, 2]);
    const thirds = mixture([source('river', 5, 1), source('garden', 5, 1), source('train', 5, 1)]);
    const given = Array.from({ length: 30 }, (_, i) => thirds.counts(i + 1).counts);
    for (const counts of given) for (const count of counts) expect([2, 3]).toContain(count);
    expect([0, 1, 2].map((s) => given.reduce((sum, counts) => sum + counts[s]!, 0))).toEqual([80, 80, 80]);
  });

  test('reads each source on through its own epochs, none left out', () => {
    const mixed = mixture([source('river', 12, 3), source('garden', 6, 1)]);
    const texts = [1, 2].flatMap((step) =>
      mixed.batch(step, 3).flatMap(({ examples }) => examples.map(({ input }) => loaded.tokenizer.decode(input))),
    );
    expect(new Set(texts.filter((text) => text.startsWith('river'))).size).toBe(12);
    expect(new Set(texts.filter((text) => text.startsWith('garden'))).size).toBe(4);
  });

  test('is a pure function of the step', () => {
    const fresh = (step: number) => mixture([source('river', 12, 3), source('garden', 7, 2)]).batch(step, 3);
    const walked = mixture([source('river', 12, 3), source('garden', 7, 2)]);
    for (const step of [1, 2, 3, 9, 4, 4, 1, 30]) expect(walked.batch(step, 3)).toEqual(fresh(step));
  });

  test('a pass holds examples of one source, behind its own prompt; replay has none', () => {
    const [a, b] = [zeros([2, 4]), zeros([2, 4])];
    const mixed = mixture([
      source('river', 20, 0.375, { prompt: a }),
      source('garden', 20, 0.375, { prompt: b }),
      source('train', 20, 0.25),
    ]);
    const passes = mixed.batch(1, 3);
    const seen = new Map([
      [a, 'river'],
      [b, 'garden'],
      [undefined, 'train'],
    ]);
    const counts = { river: 0, garden: 0, train: 0 };
    for (const { examples, prompt } of passes)
      for (const { input } of examples) {
        const word = loaded.tokenizer.decode(input).split(' ')[0] as keyof typeof counts;
        expect(word).toBe(seen.get(prompt));
        counts[word]++;
      }
    expect(counts).toEqual({ river: 3, garden: 3, train: 2 });
    a.dispose();
    b.dispose();
  });
});

describe('mixing', () => {
  const tasks = [
    { name: 'rte', size: 2490 },
    { name: 'wic', size: 5428 },
  ];
  test('equal, by size, or given', () => {
    expect(mixingRates('equal', tasks)).toEqual([1, 1]);
    expect(mixingRates('size', tasks)).toEqual([2490, 5428]);
    expect(mixingRates({ wic: 1, rte: 3 }, tasks)).toEqual([3, 1]);
  });
  test('rates that do not fit the tasks are refused by name', () => {
    expect(() => mixingRates({ rte: 1 }, tasks)).toThrow(/no rate for the task wic/);
    expect(() => mixingRates({ rte: 1, wic: 1, cb: 1 }, tasks)).toThrow(/no task cb; its tasks are rte, wic/);
  });
});

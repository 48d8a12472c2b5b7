import { describe, expect, test } from 'vitest';
import { cutInput, exemplarSeparator, fewShotPrompts, joinExemplars, trainingExemplar } from './few-shot.js';
import type { Example } from './task.js';

function example(input: string, target = 'T', shortenable?: readonly [number, number]): Example {
  return { input, target, references: [target], record: {}, location: 'test', shortenable };
}
const train = Array.from({ length: 50 }, (_, i) => example(`in ${i}`, `out ${i}`));
/** Words stand for tokens; one special token at the end. */
const countTokens = (text: string): number => text.split(/\s+/u).filter((word) => word !== '').length + 1;

describe('fewShotPrompts', () => {
  test('exemplars, one separator, the input; the same exemplars for every example', () => {
    const prompt = fewShotPrompts({ train, shots: 2, seed: 3 });
    const first = prompt(example('question one'));
    const [a, b] = first.exemplars as [number, number];
    expect(first.text).toBe(`in ${a} out ${a}\n\nin ${b} out ${b}\n\nquestion one`);
    expect(first.text).toBe(first.prefix + first.input);
    expect(prompt(example('question two')).exemplars).toEqual([a, b]);
    expect(fewShotPrompts({ train, shots: 4, seed: 3 })(example('x')).exemplars.slice(0, 2)).toEqual([a, b]);
    expect(fewShotPrompts({ train, shots: 2, seed: 4 })(example('x')).exemplars).not.toEqual([a, b]);
    expect(first).toMatchObject({ dropped: 0, cut: false, overLimit: false });
    expect(exemplarSeparator).toBe('\n\n');
  });

  test('never the evaluated example: the next in the order takes its place', () => {
    const prompt = fewShotPrompts({ train, shots: 3, seed: 0 });
    const [a, b, c] = prompt(example('x')).exemplars as [number, number, number];
    const { exemplars } = prompt(train[a]!);
    expect(exemplars.slice(0, 2)).toEqual([b, c]);
    expect(exemplars[2]).not.toBe(a);
    expect(exemplars).toHaveLength(3);
  });

  test('zero shots need no training split', () => {
    expect(fewShotPrompts({ train: [], shots: 0, seed: 0 })(example('x'))).toMatchObject({
      text: 'x',
      prefix: '',
      exemplars: [],
    });
  });

  test('exemplars are dropped last to first to fit the limit', () => {
    const all = fewShotPrompts({ train, shots: 4, seed: 1 })(example('a b'));
    const length = countTokens(all.text);
    const fitted = fewShotPrompts({ train, shots: 4, seed: 1, maxPromptTokens: length - 1, countTokens });
    expect(fitted(example('a b'))).toMatchObject({
      exemplars: all.exemplars.slice(0, 3),
      dropped: 1,
      overLimit: false,
    });
    const exact = fewShotPrompts({ train, shots: 4, seed: 1, maxPromptTokens: length, countTokens });
    expect(exact(example('a b'))).toMatchObject({ dropped: 0 });
    const hopeless = fewShotPrompts({ train, shots: 4, seed: 1, maxPromptTokens: 2, countTokens });
    expect(hopeless(example('a b c'))).toMatchObject({ text: 'a b c', dropped: 4, overLimit: true });
  });

  test('bad settings are refused', () => {
    expect(() => fewShotPrompts({ train, shots: -1, seed: 0 })).toThrow('shots must be 0 or more');
    expect(() => fewShotPrompts({ train, shots: 1, seed: 0, maxPromptTokens: 9 })).toThrow(RangeError);
    expect(() => fewShotPrompts({ train: train.slice(0, 1), shots: 1, seed: 0 })(train[0]!)).toThrow('there are 0');
  });
});

describe('cutInput', () => {
  const words = Array.from({ length: 500 }, (_, i) => `w${i}`);
  const article = words.join(' ');
  const long = example(`Article: ${article} One sentence summary:`, 'S', [9, 9 + article.length]);

  test('keeps the words around the article and as much of it as fits', () => {
    for (const limit of [6, 7, 20, 100, 480, 504]) {
      const cut = cutInput(long, limit, countTokens);
      expect(cut).toBe(`Article: ${words.slice(0, limit - 5).join(' ')} One sentence summary:`);
      expect(countTokens(cut)).toBe(limit);
    }
    expect(cutInput(long, 505, countTokens)).toBe(long.input);
    expect(cutInput(long, 1, countTokens)).toBe('Article: One sentence summary:'); // nothing more to cut
  });

  test('counts tokens only a few times', () => {
    let counts = 0;
    const uneven = (text: string): number => {
      counts++;
      return [...text.matchAll(/\S+/gu)].reduce((sum, [word]) => sum + 1 + (word.endsWith('7') ? 3 : 0), 0);
    };
    expect(uneven(cutInput(long, 300, uneven))).toBeGreaterThan(295);
    expect(counts).toBeLessThan(16);
  });

  test('leaves inputs alone that cannot be cut', () => {
    expect(cutInput(example('a b c'), 1, countTokens)).toBe('a b c');
  });

  test('exemplars are cut too', () => {
    const prompt = fewShotPrompts({ train: [long], shots: 1, seed: 0, maxInputTokens: 10, countTokens })(example('x'));
    expect(prompt.text).toBe('Article: w0 w1 w2 w3 w4 One sentence summary: S\n\nx');
    expect(prompt.cut).toBe(false);
  });
});

describe('trainingExemplar', () => {
  test('never the example itself, fresh each epoch, the same on resuming', () => {
    for (let index = 0; index < 50; index++) expect(trainingExemplar(train, index, 1, 0).input).not.toBe(`in ${index}`);
    const epochs = [0, 1, 2, 3].map((epoch) =>
      Array.from({ length: 50 }, (_, i) => trainingExemplar(train, i, 1, epoch).input),
    );
    expect(new Set(epochs.map(String)).size).toBe(4);
    expect(trainingExemplar(train, 5, 1, 2)).toBe(trainingExemplar(train, 5, 1, 2));
  });

  test('a rare different example is found; none is refused', () => {
    const same = Array.from({ length: 20 }, () => example('same'));
    expect(trainingExemplar([...same, example('other')], 0, 0, 0).input).toBe('other');
    expect(() => trainingExemplar(same, 0, 0, 0)).toThrow('different training example');
    expect(joinExemplars([], 'x')).toBe('x');
  });
});

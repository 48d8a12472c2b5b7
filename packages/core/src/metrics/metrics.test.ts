// Every metric against its Python reference on generated strings; golden/metrics.py makes the file.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { computeMetric } from './index.js';
import { firstWord } from './labels.js';
import { normalizeAnswer } from './normalize-answer.js';
import { porterStem } from './porter-stemmer.js';

interface CorpusScores {
  all: number;
  signatures: [string, string];
  groups: number[];
}
interface Scores {
  predictions: string[];
  references: string[][];
  bleu: Record<string, CorpusScores>;
  chrf: Record<string, CorpusScores>;
  rouge: Record<string, number[]>;
}
interface Golden extends Scores {
  group: number;
  accuracy: string;
  'exact-match': Record<'squad' | 'trivia-qa', string>;
  normalized: [string, string, string][];
  f1: number[];
  texts: Scores;
  stems: [string, string][];
}
const golden = JSON.parse(readFileSync(new URL('../../golden/metrics.json', import.meta.url), 'utf8')) as Golden;
const { predictions, references, group } = golden;

/** Scores of each `group` predictions in a row. */
function groupScores(name: string, settings: Record<string, unknown>, sides: Scores = golden): number[] {
  return Array.from({ length: sides.predictions.length / group }, (_, g) => {
    const range = [g * group, (g + 1) * group] as const;
    return computeMetric(name, sides.predictions.slice(...range), sides.references.slice(...range), settings).score;
  });
}

/** Indices at which two lists differ by more than 1e-9. */
function differences(actual: readonly number[], wanted: readonly number[]): unknown[] {
  expect(actual).toHaveLength(wanted.length);
  return wanted.flatMap((value, i) => (Math.abs(value - actual[i]!) <= 1e-9 ? [] : [[i, actual[i], value]]));
}

const bits = (scores: readonly number[]) => scores.map((score) => (score === 100 ? '1' : '0')).join('');

describe.each([
  ['words of many languages', golden],
  ['texts of several lines, Chinese and Japanese', golden.texts],
] as const)('%s', (_, sides) => {
  test.each([
    ...Object.entries(sides.bleu).map(([tokenize, wanted]) => ['bleu', { tokenize }, wanted] as const),
    ...Object.entries(sides.chrf).map(([order, wanted]) => ['chrf', { wordOrder: Number(order) }, wanted] as const),
  ])('%s %j equals sacreBLEU, by groups and as a whole, with its signature', (name, settings, wanted) => {
    expect(differences(groupScores(name, settings, sides), wanted.groups)).toEqual([]);
    const all = computeMetric(name, sides.predictions, sides.references, settings);
    expect(Math.abs(all.score - wanted.all)).toBeLessThanOrEqual(1e-9);
    const first = sides.references.slice(0, group).map((list) => list.slice(0, 1));
    const single = computeMetric(name, sides.predictions.slice(0, group), first, settings);
    expect([all.signature, single.signature]).toEqual(wanted.signatures);
  });

  test.each(['rouge-1', 'rouge-2', 'rouge-L', 'rouge-Lsum'])('%s equals rouge_score', (name) => {
    for (const stemmer of [false, true]) {
      const wanted = sides.rouge[stemmer ? `${name} stemmer` : name]!;
      expect(differences(groupScores(name, { stemmer }, sides), wanted)).toEqual([]);
    }
  });
});

test('the Porter stemmer equals NLTK', () => {
  expect(golden.stems.filter(([word, stem]) => porterStem(word) !== stem)).toEqual([]);
});

test('normal forms of answers equal T5', () => {
  for (const [text, squad, trivia] of golden.normalized) {
    expect([text, normalizeAnswer(text, 'squad'), normalizeAnswer(text, 'trivia-qa')]).toEqual([text, squad, trivia]);
  }
});

test.each(['squad', 'trivia-qa'] as const)('exact match, %s, equals T5', (normalize) => {
  const { perExample } = computeMetric('exact-match', predictions, references, { normalize });
  expect(bits(perExample!)).toBe(golden['exact-match'][normalize]);
});

test('exact match without normalisation is equality but for white space at the ends', () => {
  const outputs = ['The cat', 'the cat', ' the cat\n', 'the  cat', 'the cat.'];
  const wanted = outputs.map(() => ['the cat']);
  expect(computeMetric('exact-match', outputs, wanted, { normalize: 'none' }).perExample).toEqual([0, 100, 100, 0, 0]);
});

test("F1 equals the formula of SQuAD's script", () => {
  expect(differences(groupScores('f1', {}), golden.f1)).toEqual([]);
});

describe('accuracy by the first word', () => {
  test('equals the rule in Python', () => {
    const { perExample } = computeMetric('accuracy', predictions, references, { read: 'first-word' });
    expect(bits(perExample!)).toBe(golden.accuracy);
  });

  test.each([
    [' True', 'True'],
    ['"True", because', 'True'],
    ['True.', 'True'],
    ['true', 'true'],
    ['Trueish', 'Trueish'],
    ["**Don't**", "Don't"],
    ['', ''],
    ['... True', ''],
  ])('of %j', (output, word) => {
    expect(firstWord(output)).toBe(word);
  });
});

test('ROUGE says so where its tokenizer leaves nothing of a reference', () => {
  const outputs = ['Привет', '你好', 'hello', '!'];
  const { notes, score } = computeMetric(
    'rouge-1',
    outputs,
    outputs.map((text) => [text]),
  );
  expect(score).toBe(25);
  expect(notes).toEqual([expect.stringContaining('nothing is left of 2 of 4 references')]);
  expect(computeMetric('rouge-1', ['hello'], [['hello']]).notes).toBeUndefined();
});

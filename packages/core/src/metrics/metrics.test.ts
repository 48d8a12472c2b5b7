// Every metric against its Python reference on generated strings; golden/metrics.py makes the file.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { firstWord } from './accuracy.js';
import { normalizeAnswer } from './exact-match.js';
import { type MetricName, type MetricSettings, metrics } from './index.js';
import { porterStem } from './porter-stemmer.js';

interface Golden {
  group: number;
  predictions: string[];
  references: string[][];
  accuracy: string;
  'exact-match': Record<'squad' | 'trivia-qa', string>;
  normalized: [string, string, string][];
  bleu: Record<'13a' | 'intl', { all: number; signatures: [string, string]; groups: number[] }>;
  rouge: Record<string, number[]>;
  stems: [string, string][];
}
const golden = JSON.parse(readFileSync(new URL('../../golden/metrics.json', import.meta.url), 'utf8')) as Golden;
const { predictions, references, group } = golden;

/** Scores of each `group` predictions in a row. */
function groupScores(name: MetricName, settings: MetricSettings): number[] {
  return Array.from({ length: predictions.length / group }, (_, g) => {
    const range = [g * group, (g + 1) * group] as const;
    return metrics[name](predictions.slice(...range), references.slice(...range), settings).score;
  });
}

/** Indices at which two lists differ by more than 1e-9. */
function differences(actual: readonly number[], wanted: readonly number[]): unknown[] {
  expect(actual).toHaveLength(wanted.length);
  return wanted.flatMap((value, i) => (Math.abs(value - actual[i]!) <= 1e-9 ? [] : [[i, actual[i], value]]));
}

describe.each(['13a', 'intl'] as const)('BLEU, %s', (tokenize) => {
  test('equals sacreBLEU, by groups and as a whole, with its signature', () => {
    expect(differences(groupScores('bleu', { tokenize }), golden.bleu[tokenize].groups)).toEqual([]);
    const all = metrics.bleu(predictions, references, { tokenize });
    expect(all.score).toBeCloseTo(golden.bleu[tokenize].all, 9);
    const single = metrics.bleu(
      predictions.slice(0, group),
      references.slice(0, group).map((list) => list.slice(0, 1)),
      { tokenize },
    );
    expect([all.signature, single.signature]).toEqual(golden.bleu[tokenize].signatures);
  });
});

describe.each(['rouge-1', 'rouge-2', 'rouge-L'] as const)('%s', (name) => {
  test.each([false, true])('equals rouge_score, stemmer %s', (stemmer) => {
    const wanted = golden.rouge[stemmer ? `${name} stemmer` : name]!;
    expect(differences(groupScores(name, { stemmer }), wanted)).toEqual([]);
  });
});

test('the Porter stemmer equals NLTK', () => {
  expect(golden.stems.filter(([word, stem]) => porterStem(word) !== stem)).toEqual([]);
});

describe('exact match', () => {
  test('normal forms equal T5', () => {
    for (const [text, squad, trivia] of golden.normalized) {
      expect([text, normalizeAnswer(text, 'squad'), normalizeAnswer(text, 'trivia-qa')]).toEqual([text, squad, trivia]);
    }
  });

  test.each(['squad', 'trivia-qa'] as const)('%s', (normalize) => {
    const { perExample } = metrics['exact-match'](predictions, references, { normalize });
    expect(perExample!.map((score) => (score === 100 ? '1' : '0')).join('')).toBe(golden['exact-match'][normalize]);
  });
});

describe('accuracy', () => {
  test('equals the first-word rule in Python', () => {
    const { perExample } = metrics.accuracy(predictions, references);
    expect(perExample!.map((score) => (score === 100 ? '1' : '0')).join('')).toBe(golden.accuracy);
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
  ])('first word of %j', (output, word) => {
    expect(firstWord(output)).toBe(word);
  });

  test('score is a percentage', () => {
    expect(metrics.accuracy(['True.', 'False', 'true', ' True'], [['True'], ['True'], ['True'], ['True']]).score).toBe(
      50,
    );
  });
});

test('scoreOf the summed statistics is the score, for every metric', () => {
  for (const compute of Object.values(metrics)) {
    const result = compute(predictions, references);
    const sums = result.statistics[0]!.map((_, column) =>
      result.statistics.reduce((sum, row) => sum + row[column]!, 0),
    );
    expect(result.scoreOf(sums, result.n)).toBeCloseTo(result.score, 9);
    expect(result.n).toBe(predictions.length);
  }
});

test('wrong lists and settings of another metric are refused', () => {
  expect(() => metrics.bleu([], [])).toThrow('no predictions');
  expect(() => metrics.bleu(['a'], [])).toThrow('1 predictions but 0 lists');
  expect(() => metrics['rouge-1'](['a', 'b'], [['a'], []])).toThrow('prediction 2 has no reference');
  expect(() => metrics['rouge-1'](['a'], [['a']], { tokenize: 'intl' })).toThrow('rouge-1 has no setting "tokenize"');
  expect(() => metrics.accuracy(['a'], [['a']], { stemmer: true })).toThrow('accuracy has no setting "stemmer"');
});

test('a perfect BLEU is 100 and not a rounding error more', () => {
  const perfect = ['one two three four five', 'six seven eight nine ten eleven'];
  expect(
    metrics.bleu(
      perfect,
      perfect.map((text) => [text]),
    ).score,
  ).toBe(100);
});

test('any part of the predictions has the score that it has alone: a single one, BLEU included', () => {
  const predictions = ['a dog runs in the park', 'two men', ''];
  const references = [['a dog runs in a park'], ['two men walk along the river'], ['a boat']];
  for (const name of ['bleu', 'rouge-2', 'exact-match'] as const) {
    const { statistics, scoreOf } = metrics[name](predictions, references);
    for (const [i, row] of statistics.entries())
      expect(scoreOf(row, 1)).toBeCloseTo(metrics[name]([predictions[i]!], [references[i]!]).score, 9);
  }
});

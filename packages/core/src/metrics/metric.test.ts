// What holds for every metric: one suite that each of them, and any that is added, runs through.
import { readFileSync } from 'node:fs';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import {
  type Answer,
  bootstrapInterval,
  ChosenMetric,
  chooseMetric,
  computeMetric,
  type Metric,
  type MetricChoice,
  type MetricResult,
  metrics,
  pairedBootstrap,
  registerMetric,
} from './index.js';

const texts = [
  'the dog runs fast in a park',
  'two men walk along a river',
  'a boat lies on the shore',
  'nobody is here at all',
];
const answer = (output: string, references: readonly string[], right: number): Answer => ({
  output,
  references,
  // How likely each of `texts` is, for metrics that need it.
  labels: texts.map((_, label) => ({ logprob: label === right ? -1 : -5, tokens: 3 })),
  choices: texts.map((text, choice) => ({ text, logprob: choice === right ? -1 : -5, tokens: 3, greedy: false })),
  right: texts.indexOf(references[0]!),
});
const right = texts.map((text, i) => answer(text, [text], i));
const wrong = texts.map((text, i) => answer('', [text], (i + 1) % texts.length));
const mixed = [right[0]!, wrong[1]!, right[2]!, answer('a boat', [texts[2]!, texts[3]!], 3), wrong[0]!];

describe.each(metrics.all())('$name', (metric) => {
  const chosen = new ChosenMetric(metric);
  // Perplexity is 1 at best and has no worst value: it is that of the log-probabilities above.
  const [best, worst] = metric.lowerIsBetter ? [Math.E, Math.E ** 5] : [100, 0];
  const score = (answers: readonly Answer[], one = chosen) => one.score(answers, texts);

  test('what is identical has the best score', () => {
    expect(score(right).score).toBeCloseTo(best, 9);
  });

  test('what is empty or wrong has the worst', () => {
    expect(score(wrong).score).toBeCloseTo(worst, 9);
  });

  test('scores lie between the two, and the best of several references counts', () => {
    const { score: part } = score(mixed);
    expect(part).toBeGreaterThan(Math.min(best, worst));
    expect(part).toBeLessThan(Math.max(best, worst));
    const one = (references: readonly string[]) => score([answer(texts[0]!, references, 0)]).score;
    // Of choices one is right.
    expect(one(metric.needs === 'choices' ? [texts[0]!] : [texts[1]!, texts[0]!])).toBeCloseTo(best, 9);
  });

  test('the order of the examples, and of the references, does not matter', () => {
    expect(score([...mixed].reverse()).score).toBeCloseTo(score(mixed).score, 9);
    const turned = mixed.map((one) => ({ ...one, references: [...one.references].reverse() }));
    expect(score(turned).score).toBeCloseTo(score(mixed).score, 9);
  });

  test('the score is a function of summed statistics; any part has the score that it has alone', () => {
    const result = score(mixed);
    expect(result.n).toBe(mixed.length);
    for (const size of [1, 2, mixed.length]) {
      const rows = result.statistics.slice(0, size);
      const sums = rows[0]!.map((_, column) => rows.reduce((sum, row) => sum + row[column]!, 0));
      expect(result.scoreOf(sums, size)).toBeCloseTo(score(mixed.slice(0, size)).score, 9);
    }
    expect(result.perExample === undefined).toBe(metric.aggregate !== undefined);
  });

  test('intervals hold the score; a paired test tells better from worse', () => {
    const { low, high } = bootstrapInterval(score(mixed));
    expect(low).toBeLessThanOrEqual(score(mixed).score);
    expect(high).toBeGreaterThanOrEqual(score(mixed).score);
    const { difference } = pairedBootstrap(score(wrong), score(right));
    expect(difference).toBeCloseTo(best - worst, 9);
  });

  test('settings have defaults, and the signature tells them', () => {
    expect(score(right, new ChosenMetric(metric, {})).signature).toBe(score(right).signature);
    for (const [key, value] of alternatives[metric.name] ?? []) {
      const other = score(right, new ChosenMetric(metric, { [key]: value }));
      expect(other.signature).not.toBe(score(right).signature);
      if (!refuses(new ChosenMetric(metric, { [key]: value }), texts)) expect(other.score).toBeCloseTo(best, 9);
    }
    // The list below has every setting.
    const listed = new Set((alternatives[metric.name] ?? []).map(([key]) => key));
    expect([...listed].sort()).toEqual(Object.keys(metric.settings.shape).sort());
  });

  test('unknown settings and wrong values are refused', () => {
    expect(() => new ChosenMetric(metric, { nonsense: 1 })).toThrow(UserError);
    expect(() => new ChosenMetric(metric, { nonsense: 1 })).toThrow(`${metric.name} has no setting "nonsense"`);
    for (const key of Object.keys(metric.settings.shape))
      expect(() => new ChosenMetric(metric, { [key]: 'nonsense' })).toThrow(`${metric.name}: ${key}: "nonsense" `);
  });

  test('no answers, and answers without a reference, are refused', () => {
    expect(() => score([])).toThrow('no predictions');
    expect(() => score([right[0]!, answer('a', [], 0)])).toThrow('prediction 2 has no reference');
    if (metric.needs !== 'output')
      expect(() => score([{ output: 'a', references: ['a'] }])).toThrow('answer 1 lacks it');
  });

  test('an answer has room', () => {
    expect(metric.answerTokens).toBeGreaterThanOrEqual(8);
  });
});

function refuses(metric: ChosenMetric, labels: readonly string[]): boolean {
  try {
    metric.checkLabels(labels);
    return false;
  } catch {
    return true;
  }
}

/** Values other than the default of every setting. */
const alternatives: Readonly<Record<string, readonly (readonly [key: string, value: unknown])[]>> = {
  accuracy: [['read', 'first-word']],
  ...Object.fromEntries(
    ['rouge-1', 'rouge-2', 'rouge-L', 'rouge-Lsum'].map((name) => [name, [['stemmer', true]] as const]),
  ),
  bleu: ['intl', 'zh', 'char', 'none'].map((value) => ['tokenize', value] as const),
  chrf: [['wordOrder', 2]],
  'exact-match': [
    ['normalize', 'trivia-qa'],
    ['normalize', 'none'],
  ],
  f1: [
    ['normalize', 'trivia-qa'],
    ['normalize', 'none'],
  ],
  'label-likelihood': [['ranking', 'perToken']],
};

test('tokenizers that only other programs have are refused with the reason', () => {
  const message = (tokenize: string) => () => chooseMetric({ name: 'bleu', tokenize });
  expect(message('ja-mecab')).toThrow('bleu: tokenize: "ja-mecab" is not offered: it needs MeCab');
  expect(message('flores200')).toThrow('is not offered: it needs a tokenizer file');
  expect(message('zhh')).toThrow('should be one of 13a, intl, zh, char, none');
});

test('lists of different lengths are refused', () => {
  expect(() => computeMetric('bleu', ['a'], [])).toThrow('1 predictions but 0 lists');
});

test('unknown metrics are refused with the nearest name', () => {
  expect(() => chooseMetric('blue')).toThrow('unknown metric "blue" (did you mean "bleu"?)');
  expect(() => chooseMetric({ name: 'rouge' })).toThrow('unknown metric "rouge"');
});

test('types: a metric has typed settings, and any metric is one of the list', () => {
  const settings = z.strictObject({ least: z.number().default(1) });
  const long: Metric<z.infer<typeof settings>> = {
    name: 'long',
    settings,
    needs: 'output',
    answerTokens: 128,
    compute: (answers, { least }) => {
      expectTypeOf(least).toEqualTypeOf<number>();
      return answers.map(({ output }) => [output.length >= least ? 100 : 0]);
    },
    signature: ({ least }) => `long|least:${least}|version:1`,
  };
  expectTypeOf(long).toExtend<Metric>();
  expectTypeOf(registerMetric<{ least: number }>)
    .parameter(0)
    .toEqualTypeOf<Metric<{ least: number }>>();
  expectTypeOf(chooseMetric).parameter(0).toEqualTypeOf<MetricChoice>();
  expectTypeOf(chooseMetric).returns.toEqualTypeOf<ChosenMetric>();
  expectTypeOf(new ChosenMetric(long).score).returns.toEqualTypeOf<MetricResult>();
  expectTypeOf(metrics.get('bleu')).toEqualTypeOf<Metric>();
  // @ts-expect-error a metric without a signature is none: its scores could not be compared
  const unsigned: Metric = { name: 'x', settings, needs: 'output', answerTokens: 1, compute: () => [] };
  expect(unsigned.name).toBe('x');
  expect(new ChosenMetric(long, { least: 3 }).score([{ output: 'ab', references: ['ab'] }]).score).toBe(0);
});

test('docs/how-to/extend.md counts the lines of its example right; packages/promot/test/docs.test.ts runs it', () => {
  const page = readFileSync(new URL('../../../../docs/how-to/extend.md', import.meta.url), 'utf8');
  const [, example] = page.match(/## Add a metric[\s\S]*?```ts\n([\s\S]*?\nregisterMetric\(.*\n)/u)!;
  expect(page).toContain(`These are ${example!.split('\n').length - 1} lines`);
});

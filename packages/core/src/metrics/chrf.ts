// chrF (Popović, 2015) and chrF++ (2017), equal to sacreBLEU 2.6.0: n-grams of characters, for chrF++ of words, too.

import { z } from 'zod';
import { type Metric, referenceCount } from './metric.js';
import { countNgrams, sharedCount } from './ngrams.js';
import { splitWords } from './python-text.js';

const characterOrder = 6;
/** How much more recall counts than precision, squared. */
const betaSquared = 4;
const sacrebleuVersion = '2.6.0';

const settings = z.strictObject({
  /** Longest n-grams of words that count, too: 0 is chrF, 2 is chrF++. */
  wordOrder: z.union([z.literal(0), z.literal(2)], { error: 'should be 0 (chrF) or 2 (chrF++)' }).default(0),
});

const punctuation = /[!-/:-@[-`{-~]/;

/** Words with one mark of punctuation at the end, or else at the beginning, apart. */
function wordsAndMarks(text: string): string[] {
  return splitWords(text).flatMap((word) => {
    const letters = [...word];
    if (letters.length === 1) return [word];
    if (punctuation.test(letters.at(-1)!)) return [letters.slice(0, -1).join(''), letters.at(-1)!];
    if (punctuation.test(letters[0]!)) return [letters[0]!, letters.slice(1).join('')];
    return [word];
  });
}

type Counts = readonly ReadonlyMap<string, number>[];

/** The n-grams of a text: of its characters but for white space, orders 1 to 6, then of its words. */
function ngramsOf(text: string, wordOrder: number): Counts {
  const characters = [...splitWords(text).join('')];
  const words = wordOrder > 0 ? wordsAndMarks(text) : [];
  const counts = (units: string[], orders: number) =>
    Array.from({ length: orders }, (_, index) => countNgrams(units, index + 1));
  return [...counts(characters, characterOrder), ...counts(words, wordOrder)];
}

const total = (counts: ReadonlyMap<string, number>) => [...counts.values()].reduce((sum, count) => sum + count, 0);

/**
 * For each order how many n-grams the prediction has (0 where the reference has none), the reference has, both share.
 */
function statisticsOf(prediction: Counts, reference: Counts): number[] {
  return prediction.flatMap((own, order) => {
    const wanted = reference[order]!;
    return [wanted.size > 0 ? total(own) : 0, total(wanted), sharedCount(own, wanted)];
  });
}

/** F-beta, 0 to 100, of precision and recall that are means over the orders that both sides have. */
function chrfOf(sums: readonly number[]): number {
  let [precision, recall, orders] = [0, 0, 0];
  for (let place = 0; place < sums.length; place += 3) {
    const [own, wanted, shared] = sums.slice(place, place + 3) as [number, number, number];
    if (own === 0 || wanted === 0) continue;
    precision += shared / own;
    recall += shared / wanted;
    orders++;
  }
  if (precision + recall === 0) return 0;
  precision /= orders;
  recall /= orders;
  return (100 * (1 + betaSquared) * precision * recall) / (betaSquared * precision + recall);
}

/**
 * sacreBLEU's chrF2 and, with `wordOrder: 2`, chrF2++. Of several references the one that fits an output best counts.
 */
export const chrf: Metric<z.infer<typeof settings>> = {
  name: 'chrf',
  settings,
  needs: 'output',
  answerTokens: 128,
  compute: (answers, { wordOrder }) =>
    answers.map(({ output, references }) => {
      const prediction = ngramsOf(output, wordOrder);
      const rows = references.map((reference) => statisticsOf(prediction, ngramsOf(reference, wordOrder)));
      return rows.reduce((best, row) => (chrfOf(row) > chrfOf(best) ? row : best));
    }),
  aggregate: chrfOf,
  signature: ({ wordOrder }, answers) =>
    `nrefs:${referenceCount(answers)}|case:mixed|eff:yes|nc:${characterOrder}|nw:${wordOrder}|space:no|` +
    `version:${sacrebleuVersion}`,
};

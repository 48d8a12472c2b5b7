// Corpus BLEU (Papineni et al., 2002), equal to sacreBLEU 2.6.0 with exponential smoothing, mixed case.

import { z } from 'zod';
import { type BleuTokenizer, bleuTokenizers, bleuTokens, missingTokenizers } from './bleu-tokens.js';
import { type Answer, type Metric, referenceCount } from './metric.js';
import { countNgrams } from './ngrams.js';

const maximumOrder = 4;
/** The release of sacreBLEU whose scores these are, to 1e-9 (golden/metrics.py). */
const sacrebleuVersion = '2.6.0';

/** Length of the reference nearest to the prediction's; of two as near, the shorter. */
function closestLength(length: number, references: readonly number[]): number {
  return references.reduce((best, candidate) => {
    const difference = Math.abs(candidate - length) - Math.abs(best - length);
    return difference < 0 || (difference === 0 && candidate < best) ? candidate : best;
  });
}

/**
 * The statistics of one prediction, 10 counts: its length, the closest reference length, matched n-grams of orders 1 to
 * 4 (clipped by the reference that has most), all n-grams of orders 1 to 4.
 */
function statisticsOf(prediction: readonly string[], references: readonly (readonly string[])[]): number[] {
  const correct: number[] = [];
  const total: number[] = [];
  for (let order = 1; order <= maximumOrder; order++) {
    const referenceCounts = references.map((reference) => countNgrams(reference, order));
    let matched = 0;
    for (const [ngram, count] of countNgrams(prediction, order)) {
      matched += Math.min(count, Math.max(...referenceCounts.map((counts) => counts.get(ngram) ?? 0)));
    }
    correct.push(matched);
    total.push(Math.max(prediction.length - order + 1, 0));
  }
  const lengths = references.map((reference) => reference.length);
  return [prediction.length, closestLength(prediction.length, lengths), ...correct, ...total];
}

/** BLEU, 0 to 100, from summed statistics: brevity penalty times the geometric mean of the four precisions. */
function bleuOf(sums: readonly number[]): number {
  const [length, referenceLength] = sums as [number, number];
  const correct = sums.slice(2, 2 + maximumOrder);
  const total = sums.slice(2 + maximumOrder);
  if (correct.every((count) => count === 0)) return 0;
  let smoothing = 1;
  let logPrecisions = 0;
  for (let index = 0; index < maximumOrder; index++) {
    if (total[index] === 0) return 0; // shorter than four tokens altogether
    // Method 3 of Chen and Cherry (2014): each order without a match counts half as much as the one before it.
    if (correct[index] === 0) smoothing *= 2;
    logPrecisions += Math.log((100 * (correct[index]! || 1 / smoothing)) / total[index]!);
  }
  const brevityPenalty = length < referenceLength ? Math.exp(1 - referenceLength / length) : 1;
  // Four perfect precisions come out as 100.00000000000004.
  return Math.min(100, brevityPenalty * Math.exp(logPrecisions / maximumOrder));
}

const settings = z.strictObject({
  /** mteval's tokenisation `13a` (default), or `intl`, which T5's tasks use; see `bleuTokens` for the others. */
  tokenize: z
    .enum(bleuTokenizers, {
      error: ({ input }) => {
        const why = missingTokenizers[String(input)];
        return why === undefined ? `should be one of ${bleuTokenizers.join(', ')}` : `is not offered: it ${why}`;
      },
    })
    .default('13a'),
});

/** sacreBLEU's corpus BLEU, 0 to 100. */
export const bleu: Metric<{ tokenize: BleuTokenizer }> = {
  name: 'bleu',
  settings,
  needs: 'output',
  answerTokens: 128,
  compute: (answers, { tokenize }) =>
    answers.map(({ output, references }) =>
      statisticsOf(
        bleuTokens(output, tokenize),
        references.map((reference) => bleuTokens(reference, tokenize)),
      ),
    ),
  aggregate: bleuOf,
  signature: ({ tokenize }, answers: readonly Answer[]) =>
    `nrefs:${referenceCount(answers)}|case:mixed|eff:no|tok:${tokenize}|smooth:exp|version:${sacrebleuVersion}`,
};

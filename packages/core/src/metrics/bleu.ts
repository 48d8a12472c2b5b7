// Corpus BLEU (Papineni et al., 2002), equal to sacreBLEU 2.6.0 with exponential smoothing, mixed case.

import { checkLists, checkSettings, type Metric, type MetricSettings } from './metric.js';
import { splitWords, stripEnd } from './python-text.js';

const maximumOrder = 4;
/** The release of sacreBLEU whose scores these are, to 1e-9 (golden/metrics.py). */
const sacrebleuVersion = '2.6.0';

/** Tokens of mteval-v13a, WMT's script. */
function tokenize13a(line: string): string[] {
  let text = line.replaceAll('<skipped>', '').replaceAll('-\n', '').replaceAll('\n', ' ');
  text = text.replaceAll('&quot;', '"').replaceAll('&amp;', '&').replaceAll('&lt;', '<').replaceAll('&gt;', '>');
  text = ` ${text} `
    .replace(/[{-~[-` -&(-+:-@/]/g, ' $& ')
    .replace(/([^0-9])([.,])/gu, '$1 $2 ') // period and comma, unless after a digit
    .replace(/([.,])([^0-9])/gu, ' $1 $2') // period and comma, unless before a digit
    .replace(/([0-9])(-)/g, '$1 $2 '); // dash after a digit
  return splitWords(text);
}

/** Tokens of mteval-v14 with international tokenisation: punctuation outside numbers and all symbols stand alone. */
function tokenizeInternational(line: string): string[] {
  const text = line
    .replace(/(\P{N})(\p{P})/gu, '$1 $2 ')
    .replace(/(\p{P})(\P{N})/gu, ' $1 $2')
    .replace(/\p{S}/gu, ' $& ');
  return splitWords(text);
}

/** BLEU's tokens of a line of text. */
export function bleuTokens(line: string, tokenize: NonNullable<MetricSettings['tokenize']>): string[] {
  const text = stripEnd(line);
  return tokenize === '13a' ? tokenize13a(text) : tokenizeInternational(text);
}

/** How often each n-gram of orders 1 to 4 occurs; one map an order, keys joined by spaces (no token holds one). */
function countNgrams(tokens: readonly string[]): Map<string, number>[] {
  return Array.from({ length: maximumOrder }, (_, index) => {
    const counts = new Map<string, number>();
    for (let start = 0; start + index < tokens.length; start++) {
      const ngram = tokens.slice(start, start + index + 1).join(' ');
      counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
    }
    return counts;
  });
}

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
  const referenceCounts = references.map(countNgrams);
  const correct: number[] = [];
  const total: number[] = [];
  for (const [index, counts] of countNgrams(prediction).entries()) {
    let matched = 0;
    for (const [ngram, count] of counts) {
      matched += Math.min(count, Math.max(...referenceCounts.map((orders) => orders[index]!.get(ngram) ?? 0)));
    }
    correct.push(matched);
    total.push(Math.max(prediction.length - index, 0));
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

/** sacreBLEU's corpus BLEU, 0 to 100. */
export const bleu: Metric = (predictions, references, settings = {}) => {
  checkLists(predictions, references);
  checkSettings('bleu', settings, ['tokenize']);
  const tokenize = settings.tokenize ?? '13a';
  const statistics = predictions.map((prediction, i) =>
    statisticsOf(
      bleuTokens(prediction, tokenize),
      references[i]!.map((reference) => bleuTokens(reference, tokenize)),
    ),
  );
  const sums = statistics[0]!.map((_, column) => statistics.reduce((sum, row) => sum + row[column]!, 0));
  const referenceCounts = new Set(references.map((list) => list.length));
  const nrefs = referenceCounts.size === 1 ? [...referenceCounts][0] : 'var';
  return {
    score: bleuOf(sums),
    n: predictions.length,
    signature: `nrefs:${nrefs}|case:mixed|eff:no|tok:${tokenize}|smooth:exp|version:${sacrebleuVersion}`,
    statistics,
    scoreOf: (columnSums) => bleuOf(columnSums),
  };
};

// ROUGE-1, ROUGE-2 and ROUGE-L (Lin, 2004), mean F1, equal to Google's rouge_score 0.1.2.

import { checkLists, checkSettings, type Metric, type MetricName, meanResult } from './metric.js';
import { porterStem } from './porter-stemmer.js';

/** rouge_score's words: lower case, ASCII letters and digits only; words of more than 3 letters stemmed if asked. */
export function rougeTokens(text: string, stemmer: boolean): string[] {
  const tokens = text.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  return stemmer ? tokens.map((token) => (token.length > 3 ? porterStem(token) : token)) : tokens;
}

/** F1 of the matched units (n-grams, or tokens of the common subsequence) among the units of the two sides. */
function f1(matched: number, predicted: number, wanted: number): number {
  const precision = matched / Math.max(predicted, 1);
  const recall = matched / Math.max(wanted, 1);
  return precision + recall > 0 ? (2 * precision * recall) / (precision + recall) : 0;
}

function countNgrams(tokens: readonly string[], order: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let start = 0; start + order <= tokens.length; start++) {
    const ngram = tokens.slice(start, start + order).join(' ');
    counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
  }
  return counts;
}

function ngramF1(prediction: readonly string[], reference: readonly string[], order: number): number {
  const predicted = countNgrams(prediction, order);
  let matched = 0;
  for (const [ngram, count] of countNgrams(reference, order)) matched += Math.min(count, predicted.get(ngram) ?? 0);
  return f1(matched, Math.max(prediction.length - order + 1, 0), Math.max(reference.length - order + 1, 0));
}

/** Length of the longest common subsequence; one row of the usual table is kept. */
function commonSubsequence(a: readonly string[], b: readonly string[]): number {
  const row = new Uint32Array(b.length + 1);
  for (const token of a) {
    let diagonal = 0;
    for (let j = 1; j <= b.length; j++) {
      const above = row[j]!;
      row[j] = token === b[j - 1] ? diagonal + 1 : Math.max(above, row[j - 1]!);
      diagonal = above;
    }
  }
  return row[b.length]!;
}

function rouge(name: Extract<MetricName, `rouge-${string}`>): Metric {
  const score = (prediction: readonly string[], reference: readonly string[]): number =>
    name === 'rouge-L'
      ? f1(commonSubsequence(prediction, reference), prediction.length, reference.length)
      : ngramF1(prediction, reference, name === 'rouge-1' ? 1 : 2);

  return (predictions, references, settings = {}) => {
    checkLists(predictions, references);
    checkSettings(name, settings, ['stemmer']);
    const stemmer = settings.stemmer ?? false;
    const perExample = predictions.map((prediction, i) => {
      const tokens = rougeTokens(prediction, stemmer);
      return 100 * Math.max(...references[i]!.map((reference) => score(tokens, rougeTokens(reference, stemmer))));
    });
    return meanResult(
      perExample,
      `${name}|f1:mean|refs:best|stemmer:${stemmer ? 'porter' : 'no'}|version:rouge_score-0.1.2`,
    );
  };
}

/** Mean F1 of single words, 0 to 100; of several references the best counts. */
export const rouge1 = rouge('rouge-1');
/** Mean F1 of pairs of words, 0 to 100; of several references the best counts. */
export const rouge2 = rouge('rouge-2');
/** Mean F1 of the longest common subsequence, 0 to 100; of several references the best counts. */
export const rougeL = rouge('rouge-L');

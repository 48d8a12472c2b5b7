// ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum (Lin, 2004), mean F1, equal to Google's rouge_score 0.1.2.

import { z } from 'zod';
import type { Answer, Metric } from './metric.js';
import { countNgrams, sharedCount } from './ngrams.js';
import { porterStem } from './porter-stemmer.js';

/** rouge_score's words: lower case, ASCII letters and digits only; words of more than 3 letters stemmed if asked. */
function rougeTokens(text: string, stemmer: boolean): string[] {
  const tokens = text.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  return stemmer ? tokens.map((token) => (token.length > 3 ? porterStem(token) : token)) : tokens;
}

/** F1 of the matched units (n-grams, or tokens of the common subsequence) among the units of the two sides. */
function f1(matched: number, predicted: number, wanted: number): number {
  const precision = matched / Math.max(predicted, 1);
  const recall = matched / Math.max(wanted, 1);
  return precision + recall > 0 ? (2 * precision * recall) / (precision + recall) : 0;
}

function ngramF1(prediction: readonly string[], reference: readonly string[], order: number): number {
  const matched = sharedCount(countNgrams(reference, order), countNgrams(prediction, order));
  return f1(matched, Math.max(prediction.length - order + 1, 0), Math.max(reference.length - order + 1, 0));
}

/** Length of the longest common subsequence; of its table only a row at a time is kept, for texts may be long. */
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

/**
 * The table of lengths of longest common subsequences, [a + 1, b + 1] row by row: entry (i, j) is of the first i tokens
 * of `a` and the first j of `b`.
 */
function subsequenceTable(a: readonly string[], b: readonly string[]): Uint32Array {
  const width = b.length + 1;
  const table = new Uint32Array((a.length + 1) * width);
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const place = i * width + j;
      table[place] =
        a[i - 1] === b[j - 1] ? table[place - width - 1]! + 1 : Math.max(table[place - width]!, table[place - 1]!);
    }
  }
  return table;
}

/** Places in a reference sentence that are in its longest common subsequence with a sentence of the prediction. */
function subsequencePlaces(reference: readonly string[], prediction: readonly string[]): number[] {
  const table = subsequenceTable(reference, prediction);
  const width = prediction.length + 1;
  const places: number[] = [];
  let [i, j] = [reference.length, prediction.length];
  while (i > 0 && j > 0) {
    if (reference[i - 1] === prediction[j - 1]) {
      places.push(--i);
      j--;
    } else if (table[i * width + j - 1]! > table[(i - 1) * width + j]!) j--;
    else i--;
  }
  return places;
}

/**
 * ROUGE-Lsum: sentences are lines. Each reference sentence counts the tokens in the union of its common subsequences
 * with all sentences of the prediction, no token more often than it occurs on either side.
 */
function summaryF1(prediction: readonly (readonly string[])[], reference: readonly (readonly string[])[]): number {
  const predicted = countNgrams(prediction.flat(), 1);
  const wanted = countNgrams(reference.flat(), 1);
  let matched = 0;
  for (const sentence of reference) {
    const places = new Set(prediction.flatMap((other) => subsequencePlaces(sentence, other)));
    for (const place of places) {
      const token = sentence[place]!;
      const [left, right] = [predicted.get(token) ?? 0, wanted.get(token) ?? 0];
      if (left === 0 || right === 0) continue;
      matched++;
      predicted.set(token, left - 1);
      wanted.set(token, right - 1);
    }
  }
  return f1(matched, prediction.flat().length, reference.flat().length);
}

const settings = z.strictObject({
  /** Stem words with NLTK's Porter stemmer before they are compared. */
  stemmer: z.boolean('should be true or false').default(false),
});

/** How two texts are compared: F1, 0 to 1. */
type Compare = (prediction: string, reference: string, stemmer: boolean) => number;

function rouge(name: string, compare: Compare): Metric<z.infer<typeof settings>> {
  return {
    name,
    settings,
    needs: 'output',
    answerTokens: 128,
    compute: (answers, { stemmer }) =>
      answers.map(({ output, references }) => [
        100 * Math.max(...references.map((reference) => compare(output, reference, stemmer))),
      ]),
    signature: ({ stemmer }) =>
      `${name}|f1:mean|refs:best|stemmer:${stemmer ? 'porter' : 'no'}|version:rouge_score-0.1.2`,
    notes: (answers) => lostTexts(name, answers),
  };
}

/** ROUGE knows ASCII letters and digits alone: texts of which nothing is left score 0, whatever they say. */
function lostTexts(name: string, answers: readonly Answer[]): string[] {
  const isLost = (text: string) => /[\p{L}\p{N}]/u.test(text) && rougeTokens(text, false).length === 0;
  const lost = answers.filter(({ references }) => references.every(isLost)).length;
  if (lost === 0) return [];
  const why = `${name} drops all letters but a to z, and nothing is left of ${lost} of ${answers.length} references`;
  return [`${why}: they score 0 (chrf compares any script)`];
}

const byTokens =
  (compare: (prediction: string[], reference: string[]) => number): Compare =>
  (prediction, reference, stemmer) =>
    compare(rougeTokens(prediction, stemmer), rougeTokens(reference, stemmer));

const sentences = (text: string, stemmer: boolean) => text.split('\n').map((line) => rougeTokens(line, stemmer));

/** Mean F1 of single words, 0 to 100; of several references the best counts. */
export const rouge1 = rouge(
  'rouge-1',
  byTokens((prediction, reference) => ngramF1(prediction, reference, 1)),
);
/** Mean F1 of pairs of words, 0 to 100; of several references the best counts. */
export const rouge2 = rouge(
  'rouge-2',
  byTokens((prediction, reference) => ngramF1(prediction, reference, 2)),
);
/** Mean F1 of the longest common subsequence, 0 to 100; of several references the best counts. */
export const rougeL = rouge(
  'rouge-L',
  byTokens((prediction, reference) =>
    f1(commonSubsequence(prediction, reference), prediction.length, reference.length),
  ),
);
/** ROUGE-L of summaries with a sentence a line; see `summaryF1`. Of several references the best counts. */
export const rougeLsum = rouge('rouge-Lsum', (prediction, reference, stemmer) =>
  summaryF1(sentences(prediction, stemmer), sentences(reference, stemmer)),
);

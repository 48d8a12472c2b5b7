// F1 of the words that an answer shares with a reference, as SQuAD v1.1's evaluation script computes it.

import { z } from 'zod';
import { type Metric, oneOf } from './metric.js';
import { normalizations, normalizeAnswer } from './normalize-answer.js';
import { splitWords } from './python-text.js';

const settings = z.strictObject({ normalize: oneOf(normalizations).default('squad') });

/**
 * F1 of two texts in normal form, 0 to 1: 2 PR / (P + R), words counted as often as they occur; 0 where none is shared.
 */
function wordF1(output: string, reference: string): number {
  const [predicted, wanted] = [splitWords(output), splitWords(reference)];
  const left = new Map<string, number>();
  for (const word of wanted) left.set(word, (left.get(word) ?? 0) + 1);
  let shared = 0;
  for (const word of predicted) {
    const count = left.get(word) ?? 0;
    if (count > 0) shared++;
    left.set(word, count - 1);
  }
  if (shared === 0) return 0;
  const [precision, recall] = [shared / predicted.length, shared / wanted.length];
  return (2 * precision * recall) / (precision + recall);
}

/**
 * Mean F1, of several references the best. As in SQuAD's script, an output without words scores 0, whatever is wanted.
 */
export const f1: Metric<z.infer<typeof settings>> = {
  name: 'f1',
  settings,
  needs: 'output',
  answerTokens: 32,
  compute: (answers, { normalize }) =>
    answers.map(({ output, references }) => {
      const answer = normalizeAnswer(output, normalize);
      return [100 * Math.max(...references.map((reference) => wordF1(answer, normalizeAnswer(reference, normalize))))];
    }),
  signature: ({ normalize }) => `f1|normalize:${normalize}|refs:best|version:1`,
};

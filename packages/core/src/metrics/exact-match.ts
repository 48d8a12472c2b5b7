// Exact match of short answers after normalisation, as T5's question-answering tasks and the evaluation scripts of
// SQuAD v1.1 and TriviaQA do it (t5/evaluation/qa_utils.py describes both).

import { checkLists, checkSettings, type Metric, type MetricSettings, meanResult } from './metric.js';
import { splitWords, wordCharacter } from './python-text.js';

/** Python's string.punctuation. */
const asciiPunctuation = '!-/:-@\\[-`{-~';
const squadPunctuation = new RegExp(`[${asciiPunctuation}]`, 'g');
const triviaPunctuation = new RegExp(`[${asciiPunctuation}‘’´]`, 'g');
const articles = new RegExp(`(?<!${wordCharacter})(?:an|a|the)(?!${wordCharacter})`, 'gu');

/**
 * The normal form of an answer: lower case, without punctuation (removed for SQuAD; for TriviaQA replaced with a space,
 * typographic quotes included), articles (a, an, the) and superfluous white space.
 */
export function normalizeAnswer(answer: string, normalize: NonNullable<MetricSettings['normalize']>): string {
  const lower = answer.toLowerCase();
  const bare = normalize === 'squad' ? lower.replace(squadPunctuation, '') : lower.replace(triviaPunctuation, ' ');
  return splitWords(bare.replace(articles, ' ')).join(' ');
}

/** Share of the predictions that equal one of their references in normal form, in percent. */
export const exactMatch: Metric = (predictions, references, settings = {}) => {
  checkLists(predictions, references);
  checkSettings('exact-match', settings, ['normalize']);
  const normalize = settings.normalize ?? 'squad';
  const perExample = predictions.map((prediction, i) => {
    const answer = normalizeAnswer(prediction, normalize);
    return references[i]!.some((reference) => normalizeAnswer(reference, normalize) === answer) ? 100 : 0;
  });
  return meanResult(perExample, `exact-match|normalize:${normalize}|refs:any|version:1`);
};

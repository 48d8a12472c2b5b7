// The normal form of short answers, as T5's question-answering tasks and the evaluation scripts of SQuAD v1.1 and
// TriviaQA make it (t5/evaluation/qa_utils.py describes both).

import { splitWords, strip, wordCharacter } from './python-text.js';

/** `none` only strips white space at the ends. */
export const normalizations = ['squad', 'trivia-qa', 'none'] as const;
type Normalization = (typeof normalizations)[number];

/** Python's string.punctuation. */
const asciiPunctuation = '!-/:-@\\[-`{-~';
const squadPunctuation = new RegExp(`[${asciiPunctuation}]`, 'g');
const triviaPunctuation = new RegExp(`[${asciiPunctuation}‘’´]`, 'g');
const articles = new RegExp(`(?<!${wordCharacter})(?:an|a|the)(?!${wordCharacter})`, 'gu');

/**
 * The normal form of an answer: lower case, without punctuation (removed for SQuAD; for TriviaQA replaced with a space,
 * typographic quotes included), articles (a, an, the) and superfluous white space.
 */
export function normalizeAnswer(answer: string, normalize: Normalization): string {
  if (normalize === 'none') return strip(answer);
  const lower = answer.toLowerCase();
  const bare = normalize === 'squad' ? lower.replace(squadPunctuation, '') : lower.replace(triviaPunctuation, ' ');
  return splitWords(bare.replace(articles, ' ')).join(' ');
}

// Accuracy of classification by generation: the output's first word against the label (paper, A.2.2).

import { checkLists, checkSettings, type Metric, meanResult } from './metric.js';
import { splitWords, strip } from './python-text.js';

/**
 * The first word of an output, punctuation and symbols stripped at both ends, case kept: ` "True", because` gives
 * `True`. Empty where the output has no word, or its first word is nothing but punctuation.
 */
export function firstWord(output: string): string {
  const word = splitWords(output)[0] ?? '';
  return word.replace(/^[\p{P}\p{S}]+/u, '').replace(/[\p{P}\p{S}]+$/u, '');
}

/** Share of the predictions whose first word equals one of their references, in percent. */
export const accuracy: Metric = (predictions, references, settings = {}) => {
  checkLists(predictions, references);
  checkSettings('accuracy', settings, []);
  const perExample = predictions.map((prediction, i) => {
    const word = firstWord(prediction);
    return references[i]!.some((label) => strip(label) === word) ? 100 : 0;
  });
  return meanResult(perExample, 'accuracy|first-word|case:mixed|version:1');
};

// Accuracy of classification by generation: the label that an output begins with against the right one.

import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { checkDistinct, firstWord, labelReader, normalizeLabel } from './labels.js';
import { type Metric, oneOf } from './metric.js';
import { strip } from './python-text.js';

const settings = z.strictObject({
  /** `label`: see `labelReader`. `first-word`: the paper's rule (A.2.2), for labels of one word. */
  read: oneOf(['label', 'first-word']).default('label'),
});

export const accuracy: Metric<z.infer<typeof settings>> = {
  name: 'accuracy',
  settings,
  needs: 'output',
  answerTokens: 8,

  checkLabels(labels, { read }) {
    if (read === 'label') return checkDistinct(labels);
    const bad = labels.find((label) => firstWord(label) !== label);
    if (bad !== undefined) throw new UserError(`"${bad}" is not a single word, and accuracy reads the first word only`);
  },

  compute(answers, { read }, labels) {
    if (read === 'first-word')
      return answers.map(({ output, references }) => {
        const word = firstWord(output);
        return [references.some((label) => strip(label) === word) ? 100 : 0];
      });
    const labelOf = labelReader(labels);
    return answers.map(({ output, references }) => {
      const label = labelOf(output);
      if (label === undefined) return [0];
      const found = normalizeLabel(label);
      return [references.some((reference) => normalizeLabel(reference) === found) ? 100 : 0];
    });
  },

  signature: ({ read }) => `accuracy|${read}|case:mixed|version:1`,
};

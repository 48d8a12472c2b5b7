// Exact match of short answers after normalisation.

import { z } from 'zod';
import { type Metric, oneOf } from './metric.js';
import { normalizations, normalizeAnswer } from './normalize-answer.js';

const settings = z.strictObject({ normalize: oneOf(normalizations).default('squad') });

/** Share of the outputs that equal one of their references in normal form, in percent. */
export const exactMatch: Metric<z.infer<typeof settings>> = {
  name: 'exact-match',
  settings,
  needs: 'output',
  answerTokens: 32,
  compute: (answers, { normalize }) =>
    answers.map(({ output, references }) => {
      const answer = normalizeAnswer(output, normalize);
      return [references.some((reference) => normalizeAnswer(reference, normalize) === answer) ? 100 : 0];
    }),
  signature: ({ normalize }) => `exact-match|normalize:${normalize}|refs:any|version:1`,
};

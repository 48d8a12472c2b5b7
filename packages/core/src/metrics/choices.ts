// Multiple choice by likelihood, under the names and rules of lm-evaluation-harness 0.4.

import { z } from 'zod';
import type { Answer, ChoiceScore, Metric } from './metric.js';

const settings = z.strictObject({});
type Settings = z.infer<typeof settings>;

/**
 * The number of the choice that a model takes, the first of equals: that of the highest log-probability, or of the
 * highest log-probability per character (code point) of the choice.
 */
export function chosen(choices: readonly ChoiceScore[], perCharacter = false): number {
  const worths = choices.map(({ logprob, text }) => (perCharacter ? logprob / [...text].length : logprob));
  return worths.indexOf(Math.max(...worths));
}

/** Of a single choice: whether each of its tokens is the one that the model finds most likely. */
function isRight({ choices = [], right }: Answer, perCharacter: boolean): boolean {
  return choices.length === 1 ? choices[0]!.greedy : chosen(choices, perCharacter) === right;
}

const accuracyOf = (name: string, perCharacter: boolean): Metric<Settings> => ({
  name,
  settings,
  needs: 'choices',
  answerTokens: 8,
  compute: (answers) => answers.map((answer) => [isRight(answer, perCharacter) ? 100 : 0]),
  takes: (choices) => chosen(choices, perCharacter),
  signature: () => `${name}|lm-eval:0.4`,
});

/** The most likely choice is the right one. */
export const acc = accuracyOf('acc', false);
/** The same, with log-probabilities divided by the choices' lengths in characters. */
export const accNorm = accuracyOf('acc_norm', true);

/** exp of the mean negative log-probability of the right choice as a whole. 1 is the best; there is no worst. */
export const perplexity: Metric<Settings> = {
  name: 'perplexity',
  settings,
  needs: 'choices',
  lowerIsBetter: true,
  answerTokens: 8,
  compute: (answers) => answers.map(({ choices, right }) => [-choices![right!]!.logprob]),
  aggregate: (sums, n) => Math.exp(sums[0]! / n),
  signature: () => 'perplexity|lm-eval:0.4',
};

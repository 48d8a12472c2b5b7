// What a metric is: from predictions and their references to a score over [0, 100], with what a bootstrap needs.

import { UserError } from '../base/errors.js';

/** Names as the command line spells them. */
export const metricNames = ['accuracy', 'exact-match', 'bleu', 'rouge-1', 'rouge-2', 'rouge-L'] as const;
export type MetricName = (typeof metricNames)[number];

/** Settings of all metrics; each metric refuses those that are not its own. */
export interface MetricSettings {
  /** BLEU: mteval's tokenisation `13a` (default), or `intl`, which T5's tasks use. */
  readonly tokenize?: '13a' | 'intl';
  /** ROUGE: stem words with NLTK's Porter stemmer before they are compared (default false). */
  readonly stemmer?: boolean;
  /** Exact match: the SQuAD (default) or the TriviaQA normalisation of answers. */
  readonly normalize?: 'squad' | 'trivia-qa';
}

/** What a metric found. */
export interface MetricResult {
  /** 0 (worst) to 100 (best). */
  readonly score: number;
  /** Number of predictions. */
  readonly n: number;
  /** Name, settings and version in one line: equal signatures mean comparable scores. */
  readonly signature: string;
  /** Scores of the single predictions, 0 to 100; absent where the metric exists for a corpus only (BLEU). */
  readonly perExample?: readonly number[];
  /** Sufficient statistics, a row a prediction: the score is a function of their sums alone. */
  readonly statistics: readonly (readonly number[])[];
  /** The score, 0 to 100, of any set of `n` predictions, from the column sums of their statistics. */
  scoreOf(sums: readonly number[], n: number): number;
}

/**
 * Scores predictions against their references (at least one for each prediction; the best one counts).
 * Errors: a RangeError where the lists differ in length, are empty, or a prediction has no reference.
 */
export type Metric = (
  predictions: readonly string[],
  references: readonly (readonly string[])[],
  settings?: MetricSettings,
) => MetricResult;

/** Checks that a metric's two lists fit each other. */
export function checkLists(predictions: readonly string[], references: readonly (readonly string[])[]): void {
  if (predictions.length === 0) throw new RangeError('no predictions to score');
  if (predictions.length !== references.length) {
    throw new RangeError(`${predictions.length} predictions but ${references.length} lists of references`);
  }
  const bare = references.findIndex((list) => list.length === 0);
  if (bare !== -1) throw new RangeError(`prediction ${bare + 1} has no reference`);
}

/** Refuses settings that belong to another metric: a setting without effect is a mistake. */
export function checkSettings(
  metric: MetricName,
  settings: MetricSettings,
  own: readonly (keyof MetricSettings)[],
): void {
  for (const [key, value] of Object.entries(settings)) {
    if (value !== undefined && !(own as readonly string[]).includes(key)) {
      const known = own.length === 0 ? 'it has none' : `it has ${own.join(', ')}`;
      throw new UserError(`${metric} has no setting "${key}" (${known})`);
    }
  }
}

/** The result of a metric that is the mean of its predictions' scores (each 0 to 100). */
export function meanResult(perExample: readonly number[], signature: string): MetricResult {
  const scoreOf = (sums: readonly number[], n: number): number => sums[0]! / n;
  return {
    score: scoreOf([perExample.reduce((sum, score) => sum + score, 0)], perExample.length),
    n: perExample.length,
    signature,
    perExample,
    statistics: perExample.map((score) => [score]),
    scoreOf,
  };
}

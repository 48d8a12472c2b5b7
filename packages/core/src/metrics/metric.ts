// What a metric is: one object with all that promot knows of it. Each stands in a file of its own, `registry.ts` lists
// them.

import { z } from 'zod';

/** How likely a model finds one of a task's labels behind an input. */
export interface LabelScore {
  /** Sum of the log-probabilities of its tokens, in nats. */
  readonly logprob: number;
  /** The end of sequence included. */
  readonly tokens: number;
}

/** How likely a model finds one of an example's choices. */
export interface ChoiceScore extends LabelScore {
  readonly text: string;
  /** Whether each of its tokens is the one that the model finds most likely. */
  readonly greedy: boolean;
}

/** One example as a metric sees it: what a model gave, and what is right. */
export interface Answer {
  /** The generated text, as the task's `postprocess` leaves it. */
  readonly output: string;
  /** All acceptable answers, at least one. */
  readonly references: readonly string[];
  /** For metrics that need `labels`: how likely each label is, in their order. */
  readonly labels?: readonly LabelScore[];
  /** For metrics that need `choices`: the example's choices, and the number of the right one, from 0. */
  readonly choices?: readonly ChoiceScore[];
  readonly right?: number;
}

/**
 * A metric. The type parameter is what its settings are once they are checked.
 *
 * @example
 * // The share of outputs that end with a full stop.
 * registerMetric({
 *   name: 'full-stop',
 *   settings: z.strictObject({}),
 *   needs: 'output',
 *   answerTokens: 128,
 *   compute: (answers) => answers.map(({ output }) => [output.endsWith('.') ? 100 : 0]),
 *   signature: () => 'full-stop|version:1',
 * });
 */
export interface Metric<Settings = unknown> {
  /** As task files and the command line spell it. */
  readonly name: string;
  /** A strict object; every setting has a default. */
  readonly settings: z.ZodType<Settings> & { readonly shape: Readonly<Record<string, unknown>> };
  /**
   * What a model is asked for: a generated `output`, or the likelihood of each of the task's `labels` or the example's
   * `choices`.
   */
  readonly needs: 'output' | 'labels' | 'choices';
  /** Then it cannot choose a checkpoint. */
  readonly lowerIsBetter?: boolean;
  /** Most tokens that an answer usually takes; longer references get more. */
  readonly answerTokens: number;
  /** Refuses labels, or targets, that the metric could never tell apart or match. Errors: a UserError. */
  checkLabels?(labels: readonly string[], settings: Settings): void;
  /**
   * The sufficient statistics of each answer, a row of numbers each. Without `aggregate` a row is one number: the
   * answer's score, 0 (worst) to 100 (best). `labels` are the task's, or without a task all references.
   */
  compute(answers: readonly Answer[], settings: Settings, labels: readonly string[]): readonly (readonly number[])[];
  /**
   * For metrics that need `choices`: the number of the choice that counts as the model's answer. Default: the most
   * likely.
   */
  takes?(choices: readonly ChoiceScore[]): number;
  /** The score, 0 to 100, of any `n` answers from the column sums of their rows. Where it is absent: the mean. */
  aggregate?(sums: readonly number[], n: number): number;
  /** Name, settings and version in one line: equal signatures mean comparable scores. */
  signature(settings: Settings, answers: readonly Answer[]): string;
  /** What a reader of the score must know of these answers. */
  notes?(answers: readonly Answer[], settings: Settings): readonly string[];
}

/** A metric as a task names it: its name, or its name with settings, such as `{ name: 'bleu', tokenize: 'intl' }`. */
export type MetricChoice = string | { readonly name: string; readonly [setting: string]: unknown };

/** What a metric found. */
export interface MetricResult {
  /** 0 (worst) to 100 (best). */
  readonly score: number;
  /** Number of predictions. */
  readonly n: number;
  /** Name, settings and version in one line: equal signatures mean comparable scores. */
  readonly signature: string;
  /** Scores of the single predictions, 0 to 100; absent where the metric exists for a corpus only (BLEU, chrF). */
  readonly perExample?: readonly number[];
  /** Sufficient statistics, a row a prediction: the score is a function of their sums alone. */
  readonly statistics: readonly (readonly number[])[];
  /** The score, 0 to 100, of any set of `n` predictions, from the column sums of their statistics. */
  scoreOf(sums: readonly number[], n: number): number;
  /** What a reader of the score must know. */
  readonly notes?: readonly string[];
}

/** For signatures as sacreBLEU writes them: how many references each answer has, or `var` where that varies. */
export function referenceCount(answers: readonly Answer[]): string {
  const counts = new Set(answers.map(({ references }) => references.length));
  return counts.size === 1 ? String([...counts][0]) : 'var';
}

/** The result of statistics: with `aggregate` of their sums, else the mean of the single numbers in them. */
export function resultOf(
  statistics: readonly (readonly number[])[],
  { aggregate, signature }: { readonly aggregate?: Metric['aggregate']; readonly signature: string },
): MetricResult {
  const scoreOf = aggregate ?? ((sums, n) => sums[0]! / n);
  const sums = statistics[0]!.map((_, column) => statistics.reduce((sum, row) => sum + row[column]!, 0));
  return {
    score: scoreOf(sums, statistics.length),
    n: statistics.length,
    signature,
    ...(!aggregate && { perExample: statistics.map(([score]) => score!) }),
    statistics,
    scoreOf,
  };
}

/** A setting that is one of some words, and what to say where it is not. */
export const oneOf = <const T extends string>(values: readonly T[]) =>
  z.enum(values, `should be one of ${values.join(', ')}`);

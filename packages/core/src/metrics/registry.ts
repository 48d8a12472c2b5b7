// The list of metrics, and how one is chosen: by name, with its settings checked.

import type { z } from 'zod';
import { UserError } from '../base/errors.js';
import { didYouMean } from '../base/nearest-name.js';
import { Registry } from '../base/registry.js';
import { accuracy } from './accuracy.js';
import { bleu } from './bleu.js';
import { acc, accNorm, perplexity } from './choices.js';
import { chrf } from './chrf.js';
import { exactMatch } from './exact-match.js';
import { f1 } from './f1.js';
import { labelLikelihood } from './label-likelihood.js';
import { type Answer, type Metric, type MetricChoice, type MetricResult, resultOf } from './metric.js';
import { rouge1, rouge2, rougeL, rougeLsum } from './rouge.js';

/** All metrics, by name. */
export const metrics = new Registry<Metric>('metric', [
  accuracy,
  labelLikelihood,
  exactMatch,
  f1,
  bleu,
  chrf,
  rouge1,
  rouge2,
  rougeL,
  rougeLsum,
  acc,
  accNorm,
  perplexity,
]);

/** Adds a metric, for task files, the command line and `chooseMetric`. Errors: a UserError where its name is taken. */
export function registerMetric<Settings>(metric: Metric<Settings>): void {
  metrics.add(metric);
}

/** A metric with its settings, ready to score. */
export class ChosenMetric {
  readonly #parsed: unknown;

  /** Errors: a UserError for a setting that the metric lacks, or a value that it does not take. */
  constructor(
    readonly metric: Metric,
    /** As given, without defaults. */
    readonly settings: Readonly<Record<string, unknown>> = {},
  ) {
    const parsed = metric.settings.safeParse(settings);
    if (!parsed.success) throw new UserError(problem(metric, parsed.error.issues[0]!, settings));
    this.#parsed = parsed.data;
  }

  get name(): string {
    return this.metric.name;
  }

  /** See `Metric.checkLabels`. */
  checkLabels(labels: readonly string[]): void {
    this.metric.checkLabels?.(labels, this.#parsed);
  }

  /**
   * Scores answers. Of several references the best one counts. `labels` are the task's labels, if it has some.
   * Errors: a RangeError for no answers, or one without a reference, or without the labels' scores that the metric
   * needs.
   */
  score(answers: readonly Answer[], labels?: readonly string[]): MetricResult {
    if (answers.length === 0) throw new RangeError('no predictions to score');
    const bare = answers.findIndex(({ references }) => references.length === 0);
    if (bare !== -1) throw new RangeError(`prediction ${bare + 1} has no reference`);
    const { metric } = this;
    const closed = labels ?? [...new Set(answers.flatMap(({ references }) => references))];
    const unscored = answers.findIndex((answer) => answer.labels?.length !== closed.length);
    if (metric.needs === 'labels' && unscored !== -1)
      throw new RangeError(`${metric.name} needs how likely each label is; answer ${unscored + 1} lacks it`);
    const unasked = answers.findIndex(({ choices, right }) => choices === undefined || right === undefined);
    if (metric.needs === 'choices' && unasked !== -1)
      throw new RangeError(`${metric.name} needs how likely each choice is; answer ${unasked + 1} lacks it`);
    const notes = metric.notes?.(answers, this.#parsed) ?? [];
    const result = resultOf(metric.compute(answers, this.#parsed, closed), {
      aggregate: metric.aggregate,
      signature: metric.signature(this.#parsed, answers),
    });
    return notes.length > 0 ? { ...result, notes } : result;
  }
}

/**
 * A metric by name, with its settings.
 * Errors: a UserError for an unknown name, a setting that the metric lacks, a value that it does not take.
 *
 * @example chooseMetric({ name: 'bleu', tokenize: 'zh' }).score([{ output: '你好', references: ['你好'] }]).score;
 */
export function chooseMetric(choice: MetricChoice): ChosenMetric {
  if (typeof choice === 'string') return new ChosenMetric(metrics.get(choice));
  const { name, ...settings } = choice;
  return new ChosenMetric(metrics.get(name), settings);
}

/**
 * Scores predictions against their references, at least one for each.
 * Errors: those of `chooseMetric`; a RangeError where the lists differ in length.
 *
 * @example computeMetric('bleu', ['a dog runs here'], [['a dog runs there']], { tokenize: 'intl' }).score;
 */
export function computeMetric(
  name: string,
  predictions: readonly string[],
  references: readonly (readonly string[])[],
  settings: Readonly<Record<string, unknown>> = {},
): MetricResult {
  if (predictions.length !== references.length)
    throw new RangeError(`${predictions.length} predictions but ${references.length} lists of references`);
  return new ChosenMetric(metrics.get(name), settings).score(
    predictions.map((output, i) => ({ output, references: references[i]! })),
  );
}

function problem(
  { name, settings }: Metric,
  issue: z.core.$ZodIssue,
  given: Readonly<Record<string, unknown>>,
): string {
  const own = Object.keys(settings.shape);
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!;
    const known = own.length === 0 ? ' (it has none)' : didYouMean(key, own) || ` (it has ${own.join(', ')})`;
    return `${name} has no setting "${key}"${known}`;
  }
  const key = String(issue.path[0]);
  return `${name}: ${key}: ${JSON.stringify(given[key])} ${issue.message}`;
}

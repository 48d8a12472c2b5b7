// The keep list: what a model can still do of other tasks while it learns one, and the best checkpoint under that rule.

import type { Candidate } from '../artifacts/run-folder.js';
import { evaluateTask } from '../evaluation/evaluate-task.js';
import { type TargetForm, targetForm } from '../evaluation/form.js';
import type { TrainingConfig } from '../methods/settings.js';
import type { Interval } from '../metrics/bootstrap.js';
import { normalizedAverage } from '../metrics/normalized-average.js';
import type { LoadedModel } from '../models/load.js';
import type { Task } from '../tasks/task.js';

/** One task of the keep list at one moment. */
export interface KeepScore {
  readonly task: string;
  readonly metric: string;
  /** 0 to 100. */
  readonly score: number;
  /** Of `score`: 95 %, by bootstrap over the examples. */
  readonly interval: Interval;
  /** Percent of the outputs that have the form of a target: its labels or its language. */
  readonly formShare?: number;
  /** Mean negative log-likelihood of the references, nats per token. */
  readonly nll: number;
  readonly nllInterval: Interval;
}

/** The keep list at one moment. */
export interface KeepScores {
  readonly keep: readonly KeepScore[];
  /** Mean of the scores, 0 to 100. */
  readonly keepAverage: number;
}

export interface KeepOptions {
  /** Of the targets, see `targetForms`. */
  readonly forms: readonly TargetForm[];
  readonly signal?: AbortSignal;
  readonly onProgress?: (task: string, done: number, total: number) => void;
}

/** What the answers to the targets look like, to be looked for among the outputs on the keep list. Errors: those of loading data. */
export function targetForms(targets: readonly Task[], kept: readonly Task[]): Promise<TargetForm[]> {
  return Promise.all(targets.map((target) => targetForm(target, kept)));
}

/** Evaluates the keep list, without any soft prompt. Errors: a UserError for data at fault. */
export async function scoreKeepList(
  loaded: LoadedModel,
  tasks: readonly Task[],
  { keep: { shots, limit }, seed, beams, maxInputLength }: TrainingConfig,
  { forms, signal, onProgress }: KeepOptions,
): Promise<KeepScores> {
  const keep: KeepScore[] = [];
  for (const task of tasks) {
    // An answer out of a closed set is in no language.
    const own = forms.filter((form) => 'labels' in form || !task.labels);
    const { metric, score, interval, formShare, nll, nllInterval } = await evaluateTask(loaded, task, {
      ...{ shots, seed, limit: limit || undefined, beams, maxInputLength, forms: own, nll: true, signal },
      onProgress: (done, total) => onProgress?.(task.name, done, total),
    });
    const share = formShare === undefined ? {} : { formShare };
    keep.push({ task: task.name, metric, score, interval, ...share, nll: nll!, nllInterval: nllInterval! });
  }
  return { keep, keepAverage: normalizedAverage(keep.map(({ score }) => score)) };
}

/** What a checkpoint may lose. */
export interface KeepRule {
  /** The keep list's average at step 0. */
  readonly before: number;
  /** Points that it may fall. */
  readonly tolerance: number;
}

/**
 * The best of the candidates: the highest score among those whose keep list lost at most `tolerance` points; where there is
 * none, the one that lost least. Without a rule, the highest score. Of equals the later one. The best of a longer list is
 * the best of the list before or a later candidate, so that worse checkpoints need not stay on disk.
 */
export function bestOf(candidates: readonly Candidate[], rule?: KeepRule): Candidate {
  const better = (next: Candidate, best: Candidate): boolean => {
    if (!rule) return next.score >= best.score;
    const [nextKeeps, bestKeeps] = [keeps(next, rule), keeps(best, rule)];
    if (nextKeeps !== bestKeeps) return nextKeeps;
    return nextKeeps ? next.score >= best.score : next.keepAverage! >= best.keepAverage!;
  };
  return candidates.reduce((best, next) => (better(next, best) ? next : best));
}

/** Whether a candidate keeps what the rule asks for. */
export function keeps({ keepAverage }: Candidate, { before, tolerance }: KeepRule): boolean {
  // Averages of scores such as 100 / 3 must not fail a round tolerance by a rounding error.
  return before - keepAverage! <= tolerance + 1e-9;
}

// The keep list: what a model can still do of other tasks while it learns one, and the best checkpoint under that rule.

import type { Candidate, StageState } from '../artifacts/run-folder.js';
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

/** A task of the keep list warns where the form leaks into this many more percent of its outputs than at step 0 ... */
const leak = 10;
/** ... or where its references cost this many nats a token more (a tenth: 10 % more perplexity). */
const fall = 0.1;

/**
 * What the keep list warns of, a line for each task: the target's form among its answers, or references that have become less
 * likely. The limits are chosen so that on Gemma 3 270M fine-tuning that forgets is told from ProMoT that does not: at step 20
 * fine-tuning at 0.00003 had 100 points and 2.1 nats on web_questions, ProMoT at 0.00001 none in 240 steps.
 */
export function warningsOf(before: readonly KeepScore[], now: readonly KeepScore[]): string[] {
  return now.flatMap(({ task, formShare = 0, nll }) => {
    const first = before.find((one) => one.task === task);
    if (!first) return [];
    const share = formShare - (first.formShare ?? 0);
    const cost = nll - first.nll;
    return [
      ...(share >= leak
        ? [
            `${task}: ${formShare.toFixed(0)} % of the answers have the target's form (before: ${(first.formShare ?? 0).toFixed(0)} %)`,
          ]
        : []),
      ...(cost > fall
        ? [`${task}: its references cost ${nll.toFixed(2)} nats a token (before: ${first.nll.toFixed(2)})`]
        : []),
    ];
  });
}

/** What a checkpoint may lose. */
export interface KeepRule {
  /** The keep list's average at step 0. */
  readonly before: number;
  /** Points that it may fall. */
  readonly tolerance: number;
}

/** How the best checkpoint is chosen. */
export interface ChoiceRule {
  readonly choose: TrainingConfig['choose'];
  /** Absent: whatever is lost. */
  readonly keep?: KeepRule;
}

/** How the settings choose among a stage's candidates. */
export function choiceRule({ start }: StageState, { choose, keep: { tolerance } }: TrainingConfig): ChoiceRule {
  if (tolerance === null || start?.keepAverage === undefined) return { choose };
  return { choose, keep: { before: start.keepAverage, tolerance } };
}

/**
 * The best of the candidates, among those whose keep list lost at most `tolerance` points; where there is none, the one that
 * lost least. `one-standard-error`: the lowest validation loss among those whose score is within one standard error of the
 * highest, because a few examples more or less are chance and the loss tells more. Of equals the later.
 */
export function bestOf(candidates: readonly Candidate[], { choose, keep }: ChoiceRule): Candidate {
  const fit = keep ? candidates.filter((one) => keeps(one, keep)) : candidates;
  if (fit.length === 0) return highest(candidates, ({ keepAverage }) => keepAverage!);
  const top = highest(fit, ({ score }) => score);
  if (choose === 'highest-score') return top;
  const near = fit.filter(({ score }) => score >= top.score - (top.scoreError ?? 0));
  const lowestLoss = Math.min(...near.map(({ evalLoss }) => evalLoss));
  return highest(
    near.filter(({ evalLoss }) => evalLoss === lowestLoss),
    ({ score }) => score,
  );
}

/** The candidates that are the best, or that may still be the best of a longer list. All others need not stay on disk. */
export function mayBeBest(candidates: readonly Candidate[], rule: ChoiceRule): readonly Candidate[] {
  if (candidates.length === 0) return [];
  const { choose, keep } = rule;
  const fit = keep ? candidates.filter((one) => keeps(one, keep)) : candidates;
  if (choose === 'highest-score' || fit.length === 0) return [bestOf(candidates, rule)];
  // Who has neither the higher score nor the lower loss than another never comes before it.
  const beats = (a: Candidate, b: Candidate) =>
    a.score >= b.score && a.evalLoss <= b.evalLoss && (a.score > b.score || a.evalLoss < b.evalLoss || a.step > b.step);
  return fit.filter((one) => !fit.some((other) => beats(other, one)));
}

function highest(candidates: readonly Candidate[], of: (candidate: Candidate) => number): Candidate {
  return candidates.reduce((best, next) => (of(next) >= of(best) ? next : best));
}

/** Evaluations must lower the validation loss by this share to count as progress. */
const progress = 0.01;

/** Whether the validation loss stands still: in the last `patience` evaluations it has not fallen by 1 %. 0: never. */
export function standsStill(candidates: readonly Candidate[], patience: number): boolean {
  if (patience === 0 || candidates.length <= patience) return false;
  const lowest = (some: readonly Candidate[]) => Math.min(...some.map(({ evalLoss }) => evalLoss));
  return lowest(candidates.slice(-patience)) > (1 - progress) * lowest(candidates.slice(0, -patience));
}

/** Whether a candidate keeps what the rule asks for. */
export function keeps({ keepAverage }: Candidate, { before, tolerance }: KeepRule): boolean {
  // Averages of scores such as 100 / 3 must not fail a round tolerance by a rounding error.
  return before - keepAverage! <= tolerance + 1e-9;
}

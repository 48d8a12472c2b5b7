// The keep list: what a model can still do of other tasks while it learns one, with its warnings.

import type { KeepScore, Observer } from '../base/events.js';
import { evaluateLoaded } from '../evaluation/evaluate-loaded.js';
import { type TargetForm, targetForm } from '../evaluation/form.js';
import type { TrainingConfig } from '../methods/settings.js';
import { normalizedAverage } from '../metrics/normalized-average.js';
import type { LoadedModel } from '../models/load.js';
import type { Task } from '../tasks/task.js';

export type { KeepScore } from '../base/events.js';

/** The keep list at one moment. */
export interface KeepScores {
  readonly keep: readonly KeepScore[];
  /** Mean of the scores, 0 to 100. */
  readonly keepAverage: number;
}

interface KeepOptions {
  /** Of the targets, see `targetForms`. */
  readonly forms: readonly TargetForm[];
  readonly signal?: AbortSignal;
  readonly onEvent?: Observer;
}

/**
 * What the answers to the targets look like, to be looked for among the outputs on the keep list. Errors: those of
 * loading data.
 */
export function targetForms(targets: readonly Task[], kept: readonly Task[]): Promise<TargetForm[]> {
  return Promise.all(targets.map((target) => targetForm(target, kept)));
}

/** Evaluates the keep list, without any soft prompt. Errors: a UserError for data at fault. */
export async function scoreKeepList(
  loaded: LoadedModel,
  tasks: readonly Task[],
  { keep: { shots, limit }, seed, beams, maxInputLength }: TrainingConfig,
  { forms, signal, onEvent }: KeepOptions,
): Promise<KeepScores> {
  const keep: KeepScore[] = [];
  for (const task of tasks) {
    // An answer out of a closed set is in no language.
    const own = forms.filter((form) => 'labels' in form || !task.labels);
    const { metric, score, interval, formShare, nll, nllInterval } = await evaluateLoaded(loaded, task, {
      shots,
      seed,
      limit: limit || undefined,
      beams,
      maxInputLength,
      forms: own,
      nll: true,
      signal,
      onEvent,
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
 * What the keep list warns of, a line for each task: the target's form among its answers, or references that have
 * become less likely. The limits are chosen so that on Gemma 3 270M fine-tuning that forgets is told from ProMoT that
 * does not: at step 20 fine-tuning at 0.00003 had 100 points and 2.1 nats on web_questions, ProMoT at 0.00001 none in
 * 240 steps.
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
            `${task}: ${formShare.toFixed(0)} % of the answers have the target's form (before: ` +
              `${(first.formShare ?? 0).toFixed(0)} %)`,
          ]
        : []),
      ...(cost > fall
        ? [`${task}: its references cost ${nll.toFixed(2)} nats a token (before: ${first.nll.toFixed(2)})`]
        : []),
    ];
  });
}

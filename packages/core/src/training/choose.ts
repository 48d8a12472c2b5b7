// Which kept checkpoint is the best, which may still become it, and when to stop. Knows numbers alone.
import type { Candidate, StageState } from '../artifacts/run-folder.js';
import type { TrainingConfig } from '../methods/settings.js';

/** What a checkpoint may lose. */
interface KeepRule {
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
 * The best of the candidates, among those whose keep list lost at most `tolerance` points; where there is none, the one
 * that lost least. `one-standard-error`: the lowest validation loss among those whose score is within one standard
 * error of the highest, because a few examples more or less are chance and the loss tells more. Of equals the later.
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

/**
 * The candidates that are the best, or that may still be the best of a longer list. All others need not stay on disk.
 */
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

/**
 * What counts as progress. Of the validation loss: a fall by 1 %, by 0.002 nats a token, and by 5 % of all that it has
 * fallen since the first evaluation. The last one is the learning curve: most of it is behind. Of the score: a rise by
 * two standard errors.
 */
const progress = { share: 0.01, nats: 0.002, curve: 0.05, errors: 2 };

/**
 * Why a stage need not go on, judged by its last `patience` evaluations: `perfect` where all of them scored 100,
 * `still` where neither the loss nor the score made progress. `undefined` where it goes on; with a patience of 0 it
 * always does.
 */
export function standsStill(candidates: readonly Candidate[], patience: number): 'perfect' | 'still' | undefined {
  if (patience === 0 || candidates.length < patience) return;
  const last = candidates.slice(-patience);
  if (last.every(({ score }) => score === 100)) return 'perfect';
  if (candidates.length === patience) return;
  const earlier = candidates.slice(0, -patience);
  const lowest = (some: readonly Candidate[]) => Math.min(...some.map(({ evalLoss }) => evalLoss));
  const [before, now] = [lowest(earlier), lowest(last)];
  const fall = candidates[0]!.evalLoss - Math.min(before, now);
  const best = highest(last, ({ score }) => score);
  const rise = best.score - highest(earlier, ({ score }) => score).score;
  const learns = before - now >= Math.max(progress.share * before, progress.nats, progress.curve * fall);
  const improves = rise > progress.errors * (best.scoreError ?? 0) && rise > 0;
  return learns || improves ? undefined : 'still';
}

/** Whether a candidate keeps what the rule asks for. */
export function keeps({ keepAverage }: Candidate, { before, tolerance }: KeepRule): boolean {
  // Averages of scores such as 100 / 3 must not fail a round tolerance by a rounding error.
  return before - keepAverage! <= tolerance + 1e-9;
}

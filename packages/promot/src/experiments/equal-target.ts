// Methods compared where their models are equally good at the target. At the end of training one may be better there
// and have lost more elsewhere; that says nothing about which of them forgets less.
import { UserError } from '@promot/core/base';

/** A checkpoint with its score on the target; step 0 has none. */
interface Reached {
  readonly score?: number;
}

/**
 * The highest score that every run reaches at some checkpoint.
 * Errors: a UserError without runs, or for a run without a scored checkpoint.
 */
export function reachedByAll(runs: readonly (readonly Reached[])[]): number {
  const best = runs.map((run) => Math.max(...run.flatMap(({ score }) => score ?? [])));
  const least = Math.min(...best);
  if (!Number.isFinite(least)) throw new UserError('no score that all runs reach: there is a run without any');
  return least;
}

/** The first checkpoint that is at least as good, or undefined. */
export function firstToReach<T extends Reached>(run: readonly T[], score: number): T | undefined {
  return run.find((checkpoint) => checkpoint.score !== undefined && checkpoint.score >= score);
}

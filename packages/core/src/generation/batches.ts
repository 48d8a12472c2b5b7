// Length-sorted batches: items of like length stand together, so that little is computed for padding.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { UserError } from '../base/errors.js';

/** What generation and scoring share: how to batch, and how to tell and be told about a long run. */
export interface RunOptions {
  /** Items per batch. Default: as many as fit a fixed amount of memory, 32 at most. */
  batchSize?: number;
  /** Called after every item that is done. */
  onProgress?: (done: number, total: number) => void;
  /** Ends the run early: the promise rejects with the signal's reason. */
  signal?: AbortSignal;
}

const largestBatch = 32;

/**
 * Cuts items 0, 1, ... (`lengths.length` of them) into batches of like length, longest first: what does not fit into
 * memory fails at once. `fits` says whether a batch may be held, where the caller gave no size; one item always fits.
 */
export function lengthSortedBatches(
  lengths: readonly number[],
  batchSize: number | undefined,
  fits: (batch: readonly number[]) => boolean,
): number[][] {
  if (batchSize !== undefined && !(Number.isInteger(batchSize) && batchSize > 0))
    throw new UserError(`batchSize is ${batchSize}: give a whole number above 0`);
  const order = lengths.map((_, i) => i).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const batches: number[][] = [];
  let batch: number[] = [];
  for (const item of order) {
    const larger = [...batch, item];
    const holds = batchSize === undefined ? larger.length <= largestBatch && fits(larger) : larger.length <= batchSize;
    if (holds || batch.length === 0) batch = larger;
    else {
      batches.push(batch);
      batch = [item];
    }
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}

/** Lets timers, signals and progress bars have their turn, then throws where the run was aborted. */
export async function breathe(signal: AbortSignal | undefined): Promise<void> {
  await nextTurn();
  signal?.throwIfAborted();
}

// Threads, memory and facts of the loaded libtorch.
import { currentDevice } from './device.js';
import { native } from './native.js';
import { waitPassively } from './setup/preload.js';
import type { DType } from './tensor.js';

/** The number of threads of an operator; sets it where a count is given. */
export function threads(count?: number): number {
  return native.threads(count);
}

let isTuned = false;
let lastTrim = Number.NEGATIVE_INFINITY;
let settledBytes: number | undefined;

/**
 * Gives memory that is held and not used back to the system (glibc; elsewhere nothing happens). It takes about a tenth
 * of a second a gigabyte. What is needed again costs more: the system clears each page anew.
 */
export function trimMemory(): void {
  lastTrim = performance.now();
  settledBytes = undefined;
  native.trimMemory();
}

/**
 * `trimMemory` where the process has grown by a quarter since the first call after the last time. A loop calls it after
 * each step or batch: tensors of ever other sizes leave holes between them, and a process would grow for hours.
 * @param seconds that must lie between two times
 */
export function trimGrownMemory(seconds = 60): void {
  const bytes = process.memoryUsage.rss();
  settledBytes ??= bytes;
  if (bytes > 1.25 * settledBytes && performance.now() - lastTrim > 1000 * seconds) trimMemory();
}

/**
 * Settings of the whole process that training and generation gain by. A program calls it at its start, before the first
 * tensor; the library leaves a process as it is.
 * - OpenMP's threads wait for about 0.1 ms before they sleep (`OMP_WAIT_POLICY=passive`, `GOMP_SPINCOUNT=5000`, unless
 *   the policy is set). They spin on otherwise, which makes a step up to ten times slower on a machine that has
 *   anything else to do.
 * - Freed memory stays with the process, to be used again (glibc). `trimMemory` gives back what is too much.
 *
 * @example
 * await ensureAddon(); // of @promot/torch/setup
 * tuneProcess();
 */
export function tuneProcess(): void {
  waitPassively();
  native.keepFreedMemory();
  isTuned = true;
}

/**
 * Begins to take memory from the system for tensors that come soon, on a thread of its own: the system clears what it
 * gives. Nothing happens without `tuneProcess`, for a GPU, and where the system cannot do so (Linux before 5.14,
 * macOS).
 * @param tensors their sizes and types, float32 or of 16 bits; at most a gigabyte is taken
 */
export function takeMemory(tensors: Iterable<{ readonly shape: readonly number[]; readonly dtype: DType }>): void {
  if (!isTuned || currentDevice() !== 'cpu') return;
  let bytes = 0;
  for (const { shape, dtype } of tensors) bytes += shape.reduce((a, b) => a * b, dtype === 'float32' ? 4 : 2);
  native.takeMemory(bytes);
}

/** What libtorch says of itself: version, the CPU instructions it uses, whether CUDA can be used. */
export function libtorch(): { version: string; cpuCapability: string; cuda: boolean } {
  return native.build();
}

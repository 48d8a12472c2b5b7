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

/**
 * Gives memory that is held and not used back to the system (glibc; elsewhere nothing happens). Tensors of ever other
 * sizes leave holes between them, and without this a process grows for hours. Takes about a tenth of a second a
 * gigabyte, and the kernel clears what is needed again: so with small models not at every step.
 * @param seconds does nothing where the last time is not so long ago
 */
export function trimMemory(seconds = 5): void {
  const now = performance.now();
  if (now - lastTrim < 1000 * seconds) return;
  lastTrim = now;
  native.trimMemory();
}

/**
 * Settings of the whole process that training and generation gain by. A program calls it at its start, before the first
 * tensor; the library leaves a process as it is.
 * - OpenMP's threads sleep after some microseconds of waiting (`OMP_WAIT_POLICY=passive`, `GOMP_SPINCOUNT=500`, unless
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

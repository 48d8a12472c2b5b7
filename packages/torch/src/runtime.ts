// Threads, memory and facts of the loaded libtorch.
import { native } from './native.js';

/** The number of threads of an operator; sets it where a count is given. */
export function threads(count?: number): number {
  return native.threads(count);
}

let lastTrim = Number.NEGATIVE_INFINITY;

/**
 * Gives memory that is held and not used back to the system (glibc; elsewhere nothing happens). Tensors of ever other sizes leave
 * holes between them, and without this a process grows for hours. Takes about a tenth of a second a gigabyte, and the kernel clears
 * what is needed again: so with small models not at every step.
 * @param seconds does nothing where the last time is not so long ago
 */
export function trimMemory(seconds = 5): void {
  const now = performance.now();
  if (now - lastTrim < 1000 * seconds) return;
  lastTrim = now;
  native.trimMemory();
}

/** What libtorch says of itself: version, the CPU instructions it uses, whether CUDA can be used. */
export function libtorch(): { version: string; cpuCapability: string; cuda: boolean } {
  return native.build();
}

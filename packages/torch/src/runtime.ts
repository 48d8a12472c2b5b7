// Threads and facts of the loaded libtorch.
import { native } from './native.js';

/** The number of threads of an operator; sets it where a count is given. */
export function threads(count?: number): number {
  return native.threads(count);
}

/** What libtorch says of itself: version, the CPU instructions it uses, whether CUDA can be used. */
export function libtorch(): { version: string; cpuCapability: string; cuda: boolean } {
  return native.build();
}

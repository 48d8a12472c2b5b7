// Ctrl-C: the first one ends the work at its next safe place, the second one at once.
import type { Progress } from './progress.js';

/** Runs `work` with a signal that the first Ctrl-C sets; `saying` is shown then. */
export async function untilInterrupted<T>(
  progress: Progress,
  saying: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const abort = new AbortController();
  // Once: the second Ctrl-C finds no handler and ends the process.
  const interrupt = () => {
    progress.line(`${saying}; Ctrl-C again ends at once.`);
    abort.abort();
  };
  process.once('SIGINT', interrupt);
  try {
    return await work(abort.signal);
  } finally {
    process.removeListener('SIGINT', interrupt);
    progress.stop();
  }
}

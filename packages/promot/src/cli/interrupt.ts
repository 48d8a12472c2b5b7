// Ctrl-C, and the SIGTERM that Slurm, Kubernetes and `kill` send: the first ends the work at its next safe place, the
// second at once.
import type { Progress } from './progress.js';

/** What a shell expects of a program that ended on a signal: 128 and the signal's number. */
const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const;
const names = Object.keys(exitCodes) as (keyof typeof exitCodes)[];

interface Interrupted<T> {
  readonly result: T;
  /** For work that did not come to its end: 130 after Ctrl-C, 143 after SIGTERM; 0 where no signal came. */
  readonly exitCode: number;
}

/** Runs `work` with a signal that the first Ctrl-C or SIGTERM sets; `saying` is shown then. */
export async function untilInterrupted<T>(
  progress: Progress,
  saying: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<Interrupted<T>> {
  const abort = new AbortController();
  let exitCode = 0;
  // The next signal, of either kind, finds no handler and ends the process.
  const forget = () => {
    for (const name of names) process.removeListener(name, interrupt);
  };
  const interrupt = (name: keyof typeof exitCodes) => {
    forget();
    exitCode = exitCodes[name];
    progress.line(`${saying}; ${name === 'SIGINT' ? 'Ctrl-C again' : 'a second signal'} ends at once.`);
    abort.abort();
  };
  for (const name of names) process.on(name, interrupt);
  try {
    return { result: await work(abort.signal), exitCode };
  } finally {
    forget();
    progress.stop();
  }
}

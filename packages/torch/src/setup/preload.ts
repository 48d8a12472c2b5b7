// Loading libtorch on a thread of its own: it takes a quarter of a second, and a program has other things to do first.
import { Worker } from 'node:worker_threads';
import { readStamp } from './stamp.js';

/**
 * OpenMP's threads wait for a tenth of a millisecond or so, and then sleep, unless the environment says otherwise (see
 * `tuneProcess`). Does nothing once libtorch is loaded.
 */
export function waitPassively(): void {
  if (process.env.OMP_WAIT_POLICY !== undefined) return;
  process.env.OMP_WAIT_POLICY = 'passive';
  // Rounds of waiting (GNU's OpenMP, which libtorch has on Linux). To wake a thread takes 30 to 100 µs.
  process.env.GOMP_SPINCOUNT ??= '5000';
}

let thread: Worker | undefined;
let isOver = false;

/**
 * Begins to load libtorch where it is set up; else does nothing. Whoever makes the first tensor waits for what is left.
 *
 * @example
 * preload();
 * const data = await readData();
 * await ensureAddon(); // as ever
 * tuneProcess();
 * void endPreload();
 */
export function preload(): void {
  const stamp = thread || isOver ? undefined : readStamp();
  if (stamp === undefined) return;
  waitPassively();
  // The library stays loaded for as long as a thread has it, so this one stays until another has it, too.
  thread = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
    require(workerData);
    parentPort.on('message', () => {});`,
    // Node.js's own flags are not for it: --input-type=module would make another kind of program of it.
    { eval: true, execArgv: [], workerData: stamp.addon },
  );
  // An addon that cannot be loaded says so where it is needed.
  thread.on('error', () => {});
  // A process may end while it loads.
  thread.unref();
}

/** Ends the thread of `preload`, and says when it has ended. From now on `preload` does nothing. */
export async function endPreload(): Promise<void> {
  isOver = true;
  const ending = thread;
  thread = undefined;
  await ending?.terminate();
}

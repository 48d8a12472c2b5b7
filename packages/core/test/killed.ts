// Kills training runs at random moments, for tests of what a resumed run is worth.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { TrainRequest } from '../src/training/train.js';

/**
 * A request that train-child.mjs gets as JSON. With `asks` the run asks at checkpoints, and is answered `{ asked: step
 * }`.
 */
export type ChildRequest = TrainRequest & {
  readonly asks?: boolean;
  /** A module that the child imports first, by its URL: one that registers tasks. */
  readonly register?: string;
};

/** Kills fall anywhere in all stages of a run of a few steps. */
const often = [1, 4, 2, 3];

/**
 * Trains to the end in one process after the other. Each but the last is killed a moment after some number of events.
 * Returns how many events each had seen.
 */
export async function trainThroughKills(
  child: ChildRequest,
  afterEvents: readonly number[] = often,
): Promise<number[]> {
  const kills: number[] = [];
  for (let attempt = 0; attempt <= afterEvents.length; attempt++)
    if (await trainUntilKilled(child, afterEvents[attempt] ?? Infinity, kills)) break;
  return kills;
}

/** Runs train-child.mjs, kills it a random moment after some number of events; true where it finished before. */
function trainUntilKilled(child: ChildRequest, afterEvents: number, kills: number[]): Promise<boolean> {
  const script = fileURLToPath(new URL('train-child.mjs', import.meta.url));
  const running = spawn(process.execPath, [script, JSON.stringify(child)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let seen = 0;
  let finished = false;
  running.stdout.on('data', (data: Buffer) => {
    const events = data.toString().split('\n').filter(Boolean);
    if (events.some((line) => line.includes('"type":"result"'))) finished = true;
    seen += events.filter((line) => line.includes('"type":"step"') || line.includes('"type":"evaluating"')).length;
    if (seen >= afterEvents && !finished) {
      afterEvents = Infinity;
      setTimeout(() => {
        kills.push(seen);
        running.kill('SIGKILL');
      }, Math.random() * 60);
    }
  });
  return new Promise((resolve) => running.on('exit', () => resolve(finished)));
}

// Work in a process of its own, on one thread: two models this small go side by side on two cores in the time of one,
// while a second thread would make neither faster.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { UserError } from '@promot/core/errors';
import type { TaskResult } from '@promot/core/evaluation';
import type { TrainRequest, WorkEvent } from '@promot/core/train';
import type { EvaluateRequest } from './evaluate.js';

/** What can be sent to another process: one of the two. */
export interface Work {
  readonly train?: Omit<TrainRequest, 'signal' | 'onEvent' | 'atCheckpoint'>;
  readonly evaluate?: EvaluateRequest;
}

/** What comes back from it. */
export type ChildMessage =
  | { readonly event: WorkEvent }
  | { readonly evaluated: readonly [done: number, total: number] }
  | { readonly results: readonly TaskResult[] }
  | { readonly failed: { readonly message: string; readonly isUsers: boolean } };

/**
 * Trains as `train` does, or evaluates as `evaluateAll` does and gives the results. Errors: those of either; an Error
 * where the process is killed. When this process ends, so does the other.
 */
export async function workApart(
  work: Work,
  onMessage: (message: ChildMessage) => void,
): Promise<readonly TaskResult[]> {
  const env = { ...process.env, OMP_NUM_THREADS: '1' };
  const child: ChildProcess = fork(fileURLToPath(new URL('../../dist/quickstart/child.js', import.meta.url)), {
    env,
    execArgv: [],
  });
  let failure: Error | undefined;
  let results: readonly TaskResult[] = [];
  child.on('message', (message: ChildMessage) => {
    onMessage(message);
    if ('results' in message) results = message.results;
    if (!('failed' in message)) return;
    const { message: text, isUsers } = message.failed;
    failure = isUsers ? new UserError(text) : new Error(text);
  });
  child.send(work);
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  if (failure) throw failure;
  if (code !== 0) throw new Error(`a process of the quickstart ended with ${signal ?? `code ${code}`}`);
  return results;
}

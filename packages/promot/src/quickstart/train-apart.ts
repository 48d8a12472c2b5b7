// A training run in a process of its own, on one thread: two of a model this small go side by side on two cores in the
// time of one, while a second thread would make neither faster.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { UserError } from '@promot/core/errors';
import type { TrainRequest, WorkEvent } from '@promot/core/train';

/** What can be sent to another process. */
export type PlainRequest = Omit<TrainRequest, 'signal' | 'onEvent' | 'atCheckpoint'>;

/** What comes back from it. */
export type Message =
  | { readonly event: WorkEvent }
  | { readonly failed: { readonly message: string; readonly isUsers: boolean } };

/**
 * Trains as `train` does. Errors: those of `train`; an Error where the process is killed. When this process ends, so
 * does the other.
 */
export async function trainApart(request: PlainRequest, onEvent: (event: WorkEvent) => void): Promise<void> {
  const env = { ...process.env, OMP_NUM_THREADS: '1' };
  const child: ChildProcess = fork(fileURLToPath(new URL('./train-child.js', import.meta.url)), { env });
  let failure: Error | undefined;
  child.on('message', (message: Message) => {
    if ('event' in message) onEvent(message.event);
    else {
      const { message: text, isUsers } = message.failed;
      failure = isUsers ? new UserError(text) : new Error(text);
    }
  });
  child.send(request);
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  if (failure) throw failure;
  if (code !== 0) throw new Error(`the process that trained ${request.method} ended with ${signal ?? `code ${code}`}`);
}

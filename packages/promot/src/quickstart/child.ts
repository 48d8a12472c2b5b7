// The other end of apart.ts: takes one piece of work, does it, and tells what happens.
import { UserError } from '@promot/core/errors';
import { train } from '@promot/core/train';
import { tuneProcess } from '@promot/torch';
import '../lab/register.js';
import type { ChildMessage, Work } from './apart.js';
import { evaluateAll } from './evaluate.js';

const tell = (message: ChildMessage) => process.send?.(message);

// Nobody is there to hear: the work is of no use.
process.once('disconnect', () => process.exit(1));
process.once('message', async (work: Work) => {
  try {
    tuneProcess();
    if (work.train) await train({ ...work.train, onEvent: (event) => tell({ event }) });
    if (work.evaluate)
      tell({ results: await evaluateAll(work.evaluate, (done, total) => tell({ evaluated: [done, total] })) });
  } catch (error) {
    const isUsers = error instanceof UserError;
    tell({ failed: { message: isUsers ? error.message : String((error as Error).stack ?? error), isUsers } });
    process.exitCode = 1;
  }
  process.removeAllListeners('disconnect');
  process.disconnect();
});

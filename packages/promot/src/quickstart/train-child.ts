// The other end of train-apart.ts: takes one request, trains, and tells what happens.
import { UserError } from '@promot/core/errors';
import { train } from '@promot/core/train';
import { tuneProcess } from '@promot/torch';
import '../lab/register.js';
import type { Message, PlainRequest } from './train-apart.js';

const tell = (message: Message) => process.send?.(message);

// Nobody is there to hear: the run is of no use.
process.once('disconnect', () => process.exit(1));
process.once('message', async (request: PlainRequest) => {
  try {
    tuneProcess();
    await train({ ...request, onEvent: (event) => tell({ event }) });
  } catch (error) {
    const isUsers = error instanceof UserError;
    tell({ failed: { message: isUsers ? error.message : String((error as Error).stack ?? error), isUsers } });
    process.exitCode = 1;
  }
  process.removeAllListeners('disconnect');
  process.disconnect();
});

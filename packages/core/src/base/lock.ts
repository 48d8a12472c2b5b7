// One process at a time in a folder: a file `lock` that names its holder, who shows a sign of life every few seconds.
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { leaseSilence, tryLock } from '@promot/torch/files';
import { UserError } from './errors.js';

/** Longer than a holder takes from one sign of life to the next. */
const millisecondsBetweenLooks = 2000;

/**
 * Locks a folder; gives the function that unlocks it. A lock whose process is gone is void; that of another machine is
 * void when it shows no sign of life for a minute (see `tryLock`). Throws UserError where the folder is locked.
 * @param wait whether to look at another machine's lock for that minute, where it shows no sign of life. Else whoever
 * asks has to ask again.
 */
export async function lockFolder(folder: string, { wait = true } = {}): Promise<() => Promise<void>> {
  const path = join(folder, 'lock');
  const last = performance.now() + leaseSilence + 2 * millisecondsBetweenLooks;
  for (;;) {
    const lock = tryLock(path, { lease: true });
    if ('release' in lock) return async () => lock.release();
    const { pid, host } = lock;
    if (wait && host !== hostname() && performance.now() < last) {
      await setTimeout(millisecondsBetweenLooks);
      continue;
    }
    const process_ = pid === process.pid ? 'this process' : pid === 0 ? 'another process' : `process ${pid}`;
    const holder = host === hostname() ? process_ : `process ${pid} on ${host}`;
    throw new UserError(`${folder}: ${holder} is working in this folder (if it is not, delete ${path})`, {
      code: 'locked',
    });
  }
}

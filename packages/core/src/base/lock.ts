// One process at a time in a folder: a file `lock` that names its holder.
import { hostname } from 'node:os';
import { join } from 'node:path';
import { tryLock } from '@promot/torch/files';
import { UserError } from './errors.js';

/**
 * Locks a folder; gives the function that unlocks it. A lock whose process is gone is void, see `tryLock`; that of
 * another machine holds until a person deletes it. Throws UserError where the folder is locked.
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, 'lock');
  const lock = tryLock(path);
  if ('release' in lock) return async () => lock.release();
  const { pid, host } = lock;
  const process_ = pid === process.pid ? 'this process' : pid === 0 ? 'another process' : `process ${pid}`;
  const holder = host === hostname() ? process_ : `process ${pid} on ${host}`;
  throw new UserError(`${folder}: ${holder} is working in this folder (if it is not, delete ${path})`, {
    code: 'locked',
  });
}

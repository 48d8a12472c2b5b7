// One process at a time in a folder: a file `lock` that names its holder.
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { isAlive } from '@promot/torch/setup';
import { UserError } from './errors.js';

/** Folders that this process has locked. */
const locked = new Set<string>();

/**
 * Locks a folder; gives the function that unlocks it. A lock whose process is gone is void, and so is one with this process's
 * own number that it does not know of: a container gives the same number again. Throws UserError where the folder is locked.
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = resolve(folder, 'lock');
  const refuse = (holder: string) =>
    new UserError(`${folder}: ${holder} is working in this folder (if it is not, delete ${join(folder, 'lock')})`);
  if (locked.has(path)) throw refuse('this process');
  const take = () => writeFileSync(path, JSON.stringify({ pid: process.pid, host: hostname() }), { flag: 'wx' });
  try {
    take();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const holder = holderOf(path);
    if (holder !== undefined) throw refuse(holder);
    if (!replaceVoid(path, take)) throw refuse('another process');
  }
  locked.add(path);
  return async () => {
    locked.delete(path);
    await rm(path, { force: true });
  };
}

/**
 * Takes a lock in place of a void one; false where another process was faster. Several may have found it void: only who holds the
 * file beside it may look again and remove it.
 */
function replaceVoid(path: string, take: () => void): boolean {
  const mine = `${path}.void`;
  try {
    // Left by a process that died within these lines.
    if (Date.now() - statSync(mine).mtimeMs > 60_000) rmSync(mine, { force: true });
  } catch {
    // There is none.
  }
  try {
    writeFileSync(mine, '', { flag: 'wx' });
  } catch {
    return false;
  }
  try {
    if (holderOf(path) !== undefined) return false;
    rmSync(path, { force: true });
    take();
    return true;
  } catch {
    return false;
  } finally {
    rmSync(mine, { force: true });
  }
}

/** Who holds a lock, in words; undefined where it is void. Of a process on another machine nothing can be known: it counts. */
function holderOf(path: string): string | undefined {
  const { pid, host } = readLock(path) ?? {};
  if (typeof pid !== 'number' || !Number.isInteger(pid) || pid <= 0) return undefined;
  if (host !== hostname()) return `process ${pid} on ${host}`;
  return pid !== process.pid && isAlive(pid) ? `process ${pid}` : undefined;
}

/** Undefined where it was cut off by a crash, or is gone. */
function readLock(path: string): { pid?: unknown; host?: unknown } | null | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as { pid?: unknown; host?: unknown } | null;
  } catch {
    return undefined;
  }
}

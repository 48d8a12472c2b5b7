// The cache folder: where it is, and how folders get into it whole.
//
// Whatever is made goes into a temporary folder inside the cache and is renamed into place when complete, so a set-up
// that is killed leaves nothing that looks finished. Locks (../files/lock.ts) only save work: were they broken, both
// would be right.
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { isTemporaryName, temporaryName } from '../files/write.js';

/** The cache folder: `$PROMOT_CACHE`, else `$XDG_CACHE_HOME/promot`, else `~/.cache/promot`. It may not exist yet. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env.PROMOT_CACHE) return resolve(env.PROMOT_CACHE);
  // The XDG specification: a relative path there is to be ignored.
  if (env.XDG_CACHE_HOME?.startsWith('/')) return join(env.XDG_CACHE_HOME, 'promot');
  return join(homedir(), '.cache', 'promot');
}

/** Runs `work` with a fresh folder named after `path` and beside it, which is removed afterwards whatever happens. */
export async function withTemporaryFolder<T>(path: string, work: (temporary: string) => Promise<T>): Promise<T> {
  const temporary = temporaryName(path);
  await mkdir(temporary, { recursive: true });
  try {
    return await work(temporary);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/**
 * Makes a folder whole or not at all: `fill` works in a temporary folder beside it, which is then renamed.
 * If another process was first, its folder stays and ours is dropped.
 */
export async function publishFolder(folder: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  await withTemporaryFolder(folder, async (temporary) => {
    await fill(temporary);
    await rename(temporary, folder).catch((error: NodeJS.ErrnoException) => {
      const taken = error.code === 'ENOTEMPTY' || error.code === 'EEXIST';
      if (!taken) throw error;
    });
  });
}

/**
 * Removes what killed set-ups left in a folder: entries named `*.tmp-*` older than a day, younger ones if nobody can be
 * using them (call it with `age` 0 while holding the lock).
 */
export async function sweepLeftovers(folder: string, age = 24 * 3600_000): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (!isTemporaryName(name)) continue;
    const path = join(folder, name);
    const info = await stat(path).catch(() => undefined);
    if (!info || Date.now() - info.mtimeMs < age) continue;
    // A program that a killed set-up had started may still be writing there; then the next sweep gets it.
    await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** Size in bytes of all files below a path; links are not followed. */
export async function folderSize(path: string): Promise<number> {
  let total = 0;
  for (const entry of await readdir(path, { withFileTypes: true }).catch(() => [])) {
    const child = join(path, entry.name);
    if (entry.isDirectory()) total += await folderSize(child);
    else if (entry.isFile())
      total += await stat(child)
        .then((s) => s.size)
        .catch(() => 0);
  }
  return total;
}

/** A path as people read it: the home folder as `~`. */
export function displayPath(path: string): string {
  const home = homedir();
  return path === home || path.startsWith(`${home}/`) ? join('~', path.slice(home.length)) : path;
}

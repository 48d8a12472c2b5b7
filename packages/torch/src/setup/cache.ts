// The cache folder: where it is, how things get into it whole, and the lock that keeps two set-ups from doing one job twice.
//
// Whatever is made goes into a temporary folder inside the cache and is renamed into place when complete, so a set-up
// that is killed leaves nothing that looks finished. The lock only saves work: were it broken, both would still be right.
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { homedir, hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The cache folder: `$PROMOT_CACHE`, else `$XDG_CACHE_HOME/promot`, else `~/.cache/promot`. It may not exist yet. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env.PROMOT_CACHE) return resolve(env.PROMOT_CACHE);
  // The XDG specification: a relative path there is to be ignored.
  if (env.XDG_CACHE_HOME?.startsWith('/')) return join(env.XDG_CACHE_HOME, 'promot');
  return join(homedir(), '.cache', 'promot');
}

/** Whether there is something at this path. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Runs `work` with a fresh folder named after `path` and beside it, which is removed afterwards whatever happens. */
export async function withTemporaryFolder<T>(path: string, work: (temporary: string) => Promise<T>): Promise<T> {
  const temporary = `${path}.tmp-${randomUUID().slice(0, 8)}`;
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

/** Writes a small file whole or not at all. */
export async function writeAtomically(path: string, content: string): Promise<void> {
  const temporary = `${path}.tmp-${randomUUID().slice(0, 8)}`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(temporary, content);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

/**
 * Removes what killed set-ups left in a folder: entries named `*.tmp-*` older than a day, younger ones if nobody can be
 * using them (call it with `age` 0 while holding the lock).
 */
export async function sweep(folder: string, age = 24 * 3600_000): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (!/\.tmp-[0-9a-f]{8}$/.test(name)) continue;
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

const HEARTBEAT_MS = 5000;
const STALE_MS = 60_000;

/**
 * Runs `work` while holding the lock file `path`; waits while another process holds it.
 * A lock is void when its process is gone (same host) or it has shown no sign of life for a minute (any host).
 * @param onWait called once if there is a wait, with the holder's process id.
 */
export async function withLock<T>(path: string, work: () => Promise<T>, onWait?: (pid: number) => void): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  const mine = JSON.stringify({ pid: process.pid, host: hostname(), id: randomUUID() });
  let waited = false;
  while (!(await take(path, mine))) {
    const holder = await readFile(path, 'utf8').catch(() => undefined);
    if (holder === undefined) continue; // Just released.
    if (await isStale(path, holder)) {
      // Renaming first means that of several that wait only one removes the old lock.
      const aside = `${path}.tmp-${randomUUID().slice(0, 8)}`;
      await rename(path, aside).catch(() => undefined);
      await rm(aside, { force: true });
      continue;
    }
    if (!waited) onWait?.(parseHolder(holder)?.pid ?? 0);
    waited = true;
    await sleep(200);
  }
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined);
  }, HEARTBEAT_MS);
  heartbeat.unref();
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    if ((await readFile(path, 'utf8').catch(() => '')) === mine) await rm(path, { force: true });
  }
}

async function take(path: string, mine: string): Promise<boolean> {
  try {
    await writeFile(path, mine, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function isStale(path: string, holder: string): Promise<boolean> {
  const info = await stat(path).catch(() => undefined);
  if (!info) return false;
  const age = Date.now() - info.mtimeMs;
  if (age > STALE_MS) return true;
  const parsed = parseHolder(holder);
  // An unreadable lock may be one that is being written this moment.
  if (!parsed) return age > HEARTBEAT_MS;
  return parsed.host === hostname() && !isAlive(parsed.pid);
}

function parseHolder(text: string): { pid: number; host: string } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return undefined;
    const { pid, host } = value as Record<string, unknown>;
    return typeof pid === 'number' && typeof host === 'string' ? { pid, host } : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a process of this machine runs, be it another user's. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** A path as people read it: the home folder as `~`. */
export function displayPath(path: string): string {
  const home = homedir();
  return path === home || path.startsWith(`${home}/`) ? join('~', path.slice(home.length)) : path;
}

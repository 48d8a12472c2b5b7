// Lock files: one process at a time does a thing. A lock names its holder, and is void when its holder is gone.
import { linkSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { makeFolder, temporaryName } from './write.js';

/** Who has a lock. */
export interface Holder {
  readonly pid: number;
  readonly host: string;
}

/** A lock that this process has. */
export interface Lock {
  /** Gives it back. */
  release(): void;
}

/** Locks that this process has, by path. */
const held = new Set<string>();

const heartbeat = 5000;
const silence = 60_000;
/** Milliseconds after which a lease that shows no sign of life is void. */
export const leaseSilence = silence;
/** Looking whether a lock is void takes no longer, unless its process dies meanwhile. */
const longestLook = 60_000;

/**
 * Takes the lock file `path`, or says who has it. Void are the lock of a process of this machine that is gone, one with
 * this process's own number that it does not know of (a container gives the same number again), and one that was cut
 * off.
 *
 * @param alive with it the holder shows a sign of life every five seconds, and a lock without one for a minute is void,
 * whatever its host. Only for work that leaves the event loop free. Without it the lock of another machine always
 * holds.
 * @param lease as `alive`, for work that blocks the event loop and for machines whose clocks differ: the signs come
 * from a thread of their own, and the lock of another machine is void when this process has seen no new one for a
 * minute. So it has to look again, see `leaseSilence`.
 * Errors: those of the file system, such as EROFS.
 */
export function tryLock(path: string, { alive = false, lease = false } = {}): Lock | Holder {
  const place = resolve(path);
  const me = { pid: process.pid, host: hostname() };
  if (held.has(place)) return me;
  makeFolder(dirname(place));
  const content = JSON.stringify(me);
  const take = () => create(place, content);
  try {
    take();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const how = lease ? 'lease' : alive;
    const holder = holderOf(place, how) ?? replaceVoid(place, how, take);
    if (holder) return holder;
  }
  held.add(place);
  seen.delete(place);
  const beat = alive ? setInterval(() => touch(place), heartbeat).unref() : undefined;
  if (lease) leases().postMessage({ path: place, content });
  return {
    release: () => {
      clearInterval(beat);
      if (lease) leases().postMessage({ path: place });
      held.delete(place);
      rmSync(place, { force: true });
    },
  };
}

/**
 * Runs `work` while holding the lock file `path`; waits while another process, or another call in this one, holds it.
 * @param onWait called once if there is a wait, with the holder's process number.
 */
export async function withLock<T>(path: string, work: () => Promise<T>, onWait?: (pid: number) => void): Promise<T> {
  for (let waited = false; ; waited = true) {
    const lock = tryLock(path, { alive: true });
    if ('release' in lock) {
      try {
        return await work();
      } finally {
        lock.release();
      }
    }
    if (!waited) onWait?.(lock.pid);
    await sleep(200);
  }
}

/** Whether a process of this machine runs. It may be another user's. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Takes a lock in place of a void one; else says who was faster. Several may have found it void: only who holds the
 * file beside it may look again and remove it.
 */
function replaceVoid(path: string, alive: boolean | 'lease', take: () => void): Holder | undefined {
  const mine = `${path}.void`;
  if (age(mine) > longestLook) rmSync(mine, { force: true });
  const another = { pid: 0, host: hostname() };
  try {
    writeFileSync(mine, '', { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return another;
  }
  try {
    const holder = holderOf(path, alive);
    if (holder) return holder;
    rmSync(path, { force: true });
    take();
    return undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return another;
  } finally {
    rmSync(mine, { force: true });
  }
}

/**
 * Makes a file that is not there, at once with its content: another process may look at any moment. Errors: EEXIST and
 * others.
 */
function create(path: string, content: string): void {
  const temporary = temporaryName(path);
  try {
    writeFileSync(temporary, content, { flag: 'wx' });
    linkSync(temporary, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // File systems without hard links: the content comes a moment later.
    if (code === 'EPERM' || code === 'ENOTSUP' || code === 'ENOSYS') writeFileSync(path, content, { flag: 'wx' });
    else throw Object.assign(error as Error, { path });
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Undefined where a lock is void. */
function holderOf(path: string, alive: boolean | 'lease'): Holder | undefined {
  if (alive === true && age(path) > silence) return undefined;
  let content: { pid?: unknown; host?: unknown } | null;
  try {
    content = JSON.parse(readFileSync(path, 'utf8')) as typeof content;
  } catch {
    return undefined;
  }
  const { pid, host } = content ?? {};
  if (typeof pid !== 'number' || !Number.isInteger(pid) || pid <= 0 || typeof host !== 'string') return undefined;
  const here = host === hostname();
  // With signs of life it may be another thread's.
  const unknown = pid === process.pid && alive !== true;
  if (alive === 'lease' && !here && isSilent(path)) return undefined;
  return here && (unknown || !isAlive(pid)) ? undefined : { pid, host };
}

/** When a lease of another machine last changed, as its own clock says, and since when that is known here. */
const seen = new Map<string, { readonly stamp: number; readonly since: number }>();

/** Whether a lease has not changed for a minute, by this process's clock. */
function isSilent(path: string): boolean {
  const stamp = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const before = seen.get(path);
  if (before?.stamp === stamp) return performance.now() - before.since > leaseSilence;
  seen.set(path, { stamp, since: performance.now() });
  return false;
}

let leaseThread: Worker | undefined;

/** The thread that shows signs of life of this process's leases, whatever the event loop does. */
function leases(): Worker {
  leaseThread ??= new Worker(
    `const { readFileSync, utimesSync } = require('node:fs');
    const held = new Map();
    require('node:worker_threads').parentPort.on('message', ({ path, content }) => {
      if (content === undefined) held.delete(path);
      else held.set(path, content);
    });
    setInterval(() => {
      for (const [path, content] of held) {
        try {
          // Who was silent for too long may have lost it to another.
          if (readFileSync(path, 'utf8') === content) utimesSync(path, new Date(), new Date());
        } catch {}
      }
    }, ${heartbeat});`,
    // Node.js's own flags are not for it: --input-type=module would make another kind of program of it.
    { eval: true, execArgv: [] },
  );
  leaseThread.unref();
  return leaseThread;
}

/** Milliseconds since the last change; below zero where there is no such file. */
function age(path: string): number {
  const info = statSync(path, { throwIfNoEntry: false });
  return info ? Date.now() - info.mtimeMs : -1;
}

function touch(path: string): void {
  const now = new Date();
  try {
    utimesSync(path, now, now);
  } catch {
    // Taken away by a person: the work goes on.
  }
}

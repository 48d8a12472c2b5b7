// Whose locks hold, and whose are void.
import { spawn } from 'node:child_process';
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../test/setup.js';
import { tryLock, withLock } from './lock.js';

describe('withLock', () => {
  test('one at a time, and the waiting one is told who holds it', async () => {
    const path = join(await temporaryFolder(), 'lock');
    let inside = 0;
    let most = 0;
    const waits: number[] = [];
    const work = async () => {
      most = Math.max(most, ++inside);
      await sleep(30);
      inside--;
    };
    await Promise.all([1, 2, 3].map(() => withLock(path, work, (pid) => waits.push(pid))));
    expect(most).toBe(1);
    expect(waits).toEqual([process.pid, process.pid]);
    expect(await readdir(join(path, '..'))).toEqual([]);
  });

  test('is released when the work throws', async () => {
    const path = join(await temporaryFolder(), 'lock');
    await expect(withLock(path, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await withLock(path, async () => 'again')).toBe('again');
  });

  test('the lock of a killed process is void at once', async () => {
    const path = join(await temporaryFolder(), 'lock');
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    await writeFile(path, JSON.stringify({ pid: child.pid, host: hostname(), id: 'x' }));
    const gone = new Promise((done) => child.on('close', done));
    child.kill('SIGKILL');
    await gone;
    const started = Date.now();
    expect(await withLock(path, async () => 'mine')).toBe('mine');
    expect(Date.now() - started).toBeLessThan(2000);
  });

  test('the lock of another host is void after a minute without a sign of life', async () => {
    const path = join(await temporaryFolder(), 'lock');
    await writeFile(path, JSON.stringify({ pid: 1, host: 'elsewhere', id: 'x' }));
    const twoMinutesAgo = Date.now() / 1000 - 120;
    await utimes(path, twoMinutesAgo, twoMinutesAgo);
    expect(await withLock(path, async () => 'mine')).toBe('mine');
  });
});

describe('tryLock', () => {
  test('of another machine: holds for ever, unless signs of life are asked for', async () => {
    const path = join(await temporaryFolder(), 'lock');
    const other = { pid: 1, host: 'elsewhere' };
    await writeFile(path, JSON.stringify(other));
    const longAgo = Date.now() / 1000 - 1e6;
    await utimes(path, longAgo, longAgo);
    expect(tryLock(path)).toEqual(other);
    const lock = tryLock(path, { alive: true });
    if (!('release' in lock)) throw new Error('refused');
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({ pid: process.pid, host: hostname() });
    lock.release();
    expect(await readdir(join(path, '..'))).toEqual([]);
  });

  test('a folder that cannot be made is an error of the file system, not a lock', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'file'), '');
    expect(() => tryLock(join(folder, 'file', 'lock'))).toThrow(/ENOTDIR|EEXIST/);
  });
});

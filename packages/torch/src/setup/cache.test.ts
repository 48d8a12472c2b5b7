import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../test/setup.js';
import { cacheFolder, folderSize, publishFolder, sweep, withLock, writeAtomically } from './cache.js';

test('the cache folder follows the environment', () => {
  expect(cacheFolder({ PROMOT_CACHE: '/a/b', XDG_CACHE_HOME: '/x' })).toBe('/a/b');
  expect(cacheFolder({ XDG_CACHE_HOME: '/x' })).toBe('/x/promot');
  expect(cacheFolder({ XDG_CACHE_HOME: 'relative' })).toMatch(/\/\.cache\/promot$/);
});

describe('publishFolder', () => {
  test('leaves nothing when filling fails', async () => {
    const folder = await temporaryFolder();
    const failing = publishFolder(join(folder, 'x'), async (temporary) => {
      await writeFile(join(temporary, 'half'), '');
      throw new Error('cut');
    });
    await expect(failing).rejects.toThrow('cut');
    expect(await readdir(folder)).toEqual([]);
  });

  test('keeps the folder of whoever was first', async () => {
    const folder = join(await temporaryFolder(), 'x');
    const fill = (text: string) => (temporary: string) => writeFile(join(temporary, 'file'), text);
    await publishFolder(folder, fill('first'));
    await publishFolder(folder, fill('second'));
    expect(await readFile(join(folder, 'file'), 'utf8')).toBe('first');
    expect(await readdir(join(folder, '..'))).toEqual(['x']);
  });
});

test('sweep removes old leftovers of killed set-ups and nothing else', async () => {
  const folder = await temporaryFolder();
  await mkdir(join(folder, 'old.tmp-0123abcd'));
  await writeFile(join(folder, 'old.tmp-0123abcd', 'f'), 'x');
  await writeFile(join(folder, 'new.tmp-0123abcd'), 'x');
  await writeFile(join(folder, 'kept'), 'x');
  const twoDaysAgo = Date.now() / 1000 - 48 * 3600;
  await utimes(join(folder, 'old.tmp-0123abcd'), twoDaysAgo, twoDaysAgo);
  await sweep(folder);
  expect((await readdir(folder)).sort()).toEqual(['kept', 'new.tmp-0123abcd']);
  await sweep(folder, 0);
  expect(await readdir(folder)).toEqual(['kept']);
});

test('writeAtomically makes the folder and leaves one file; folderSize counts it', async () => {
  const folder = await temporaryFolder();
  await writeAtomically(join(folder, 'a', 'b.json'), '12345');
  expect(await readdir(join(folder, 'a'))).toEqual(['b.json']);
  expect(await folderSize(folder)).toBe(5);
});

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

// Whose locks hold, and whose are void.
import { spawn } from 'node:child_process';
import { readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { temporaryFolder } from '../../test/setup.js';
import { type Lock, tryLock, withLock } from './lock.js';

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
    // Without a look at the process the lock would hold for a minute: longer than this test may take.
    expect(await withLock(path, async () => 'mine')).toBe('mine');
  }, 30_000);

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

describe('a lease', () => {
  const content = JSON.stringify({ pid: 1, host: 'elsewhere' });

  test("another machine's holds while it shows signs of life, and for a minute here after the last", async () => {
    const path = join(await temporaryFolder(), 'lock');
    await writeFile(path, content);
    // Its clock is hours behind: that says nothing.
    const behind = (seconds: number) =>
      utimes(path, Date.now() / 1000 - 7200 + seconds, Date.now() / 1000 - 7200 + seconds);
    await behind(0);
    const now = vi.spyOn(performance, 'now');
    const at = (seconds: number) => {
      now.mockReturnValue(1e6 + 1000 * seconds);
      return tryLock(path, { lease: true });
    };
    expect(at(0)).toEqual({ pid: 1, host: 'elsewhere' });
    expect(at(55)).toEqual({ pid: 1, host: 'elsewhere' });
    await behind(5);
    expect(at(65)).toEqual({ pid: 1, host: 'elsewhere' });
    expect(at(120)).toEqual({ pid: 1, host: 'elsewhere' });
    const lock = at(126);
    now.mockRestore();
    expect('release' in lock).toBe(true);
    (lock as Lock).release();
  });

  test('shows signs of life while the event loop stands still', async () => {
    const path = join(await temporaryFolder(), 'lock');
    const lock = tryLock(path, { lease: true }) as Lock;
    await sleep(500);
    const before = (await stat(path)).mtimeMs;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 8000);
    expect((await stat(path)).mtimeMs).toBeGreaterThan(before);
    lock.release();
  });

  test('can be taken by a script that Node.js gets as text', async () => {
    const path = join(await temporaryFolder(), 'lock');
    const files = new URL('../../dist/files/index.js', import.meta.url).href;
    const code = `const { tryLock } = await import('${files}');
      const lock = tryLock(${JSON.stringify(path)}, { lease: true });
      await new Promise((done) => setTimeout(done, 200));
      console.log(Object.keys(lock));`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code]);
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
    expect([await new Promise((done) => child.on('close', done)), said]).toEqual([0, "[ 'release' ]\n"]);
  });
});

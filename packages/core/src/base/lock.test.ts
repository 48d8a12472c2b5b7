// Whose locks hold: those of living processes and of other machines, not those that a crash left.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { UserError } from './errors.js';
import { lockFolder } from './lock.js';

const temporary = mkdtempSync(join(tmpdir(), 'promot-lock-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

/** A folder with a lock of this content. */
function folderWith(content: string): { folder: string; lock: string } {
  const folder = mkdtempSync(join(temporary, 'folder-'));
  writeFileSync(join(folder, 'lock'), content);
  return { folder, lock: join(folder, 'lock') };
}
const by = (pid: number, host = hostname()) => JSON.stringify({ pid, host });

test.each([
  ['that is empty', ''],
  ['that was cut off', '{"pid": 12'],
  ['of a process that is gone', by(999_999_999)],
  ["with this process's own number, which it does not know of", by(process.pid)],
])('a lock %s is void', async (_name, content) => {
  const { folder, lock } = folderWith(content);
  const unlock = await lockFolder(folder);
  expect(readFileSync(lock, 'utf8')).toBe(by(process.pid));
  await unlock();
  expect(existsSync(lock)).toBe(false);
});

test.each([
  ['a process that lives', by(process.ppid), `process ${process.ppid} is working`],
  ['another machine', by(999_999_999, 'elsewhere'), 'process 999999999 on elsewhere is working'],
])('a lock of %s holds; the message names the file', async (_name, content, who) => {
  const { folder, lock } = folderWith(content);
  const error: unknown = await lockFolder(folder, { wait: false }).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(UserError);
  expect((error as Error).message).toContain(who);
  expect((error as Error).message).toContain(lock);
  expect(readFileSync(lock, 'utf8')).toBe(content);
});

test('a second lock by the same process is refused until the first is taken back', async () => {
  const folder = mkdtempSync(join(temporary, 'folder-'));
  const unlock = await lockFolder(folder);
  await expect(lockFolder(`${folder}/.`)).rejects.toThrow(/this process is working.*lock/);
  await unlock();
  await (await lockFolder(folder))();
});

test('of several that find a lock void, one takes it: the others are refused while it does', async () => {
  const { folder, lock } = folderWith(by(999_999_999));
  writeFileSync(`${lock}.void`, '');
  await expect(lockFolder(folder)).rejects.toThrow(/another process is working/);
  // Unless it died meanwhile.
  const old = new Date(Date.now() - 120_000);
  utimesSync(`${lock}.void`, old, old);
  await (await lockFolder(folder))();
  expect(readdirSync(folder)).toEqual([]);
});

import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../../test/setup.js';
import { type ZipFile, zip } from '../../test/zip.js';
import type { SetupEvent } from './progress.js';
import { ArchiveError, unpack } from './unpack.js';

async function unpackBytes(bytes: Buffer, rename = (name: string): string | undefined => name) {
  const folder = await temporaryFolder();
  const events: SetupEvent[] = [];
  await writeFile(join(folder, 'a.zip'), bytes);
  const target = join(folder, 'out');
  const count = await unpack(join(folder, 'a.zip'), target, rename, (event) => events.push(event));
  return { folder, target, count, events };
}

const files: ZipFile[] = [
  { name: 'torch/lib/', data: '' },
  { name: 'torch/lib/a.so', data: 'library' },
  { name: 'torch/other.py', data: 'python' },
];

test('takes the chosen files under their new names, with progress up to the end', async () => {
  const { target, count, events } = await unpackBytes(zip(files), (name) =>
    name.startsWith('torch/lib/') ? name.slice('torch/'.length) : undefined,
  );
  expect(count).toBe(1);
  expect(await readdir(target)).toEqual(['lib']);
  expect(await readFile(join(target, 'lib', 'a.so'), 'utf8')).toBe('library');
  expect(events.at(-1)).toMatchObject({ kind: 'progress', done: 7, total: 7 });
});

test.each([
  ['a path that climbs out', '../evil'],
  ['a path that climbs out further in', 'lib/../../evil'],
  ['an absolute path', '/promot-evil'],
  ['a backslash path', '..\\evil'],
])('refuses %s', async (_what, name) => {
  const bytes = zip([...files, { name, data: 'x' }]);
  await expect(unpackBytes(bytes)).rejects.toThrow(ArchiveError);
});

test('refuses a new name that leads out, whatever the archive calls it', async () => {
  await expect(unpackBytes(zip(files), () => '../../evil')).rejects.toThrow('leads out of the folder');
});

test('refuses links', async () => {
  const bytes = zip([{ name: 'lib', data: '/etc', mode: 0o120777 }]);
  await expect(unpackBytes(bytes)).rejects.toThrow('"lib" is a link');
});

test('notices damage', async () => {
  await expect(unpackBytes(zip([{ name: 'a', data: 'x', crc: 1 }]))).rejects.toThrow('"a" is damaged');
  const whole = zip(files);
  await expect(unpackBytes(whole.subarray(0, whole.length - 30))).rejects.toThrow(ArchiveError);
  await expect(unpackBytes(Buffer.from('<html>sign in</html>'))).rejects.toThrow(ArchiveError);
});

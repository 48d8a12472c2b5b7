import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../test/setup.js';
import { writeText } from '../files/write.js';
import { cacheFolder, folderSize, publishFolder, sweepLeftovers } from './cache.js';

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
  await sweepLeftovers(folder);
  expect((await readdir(folder)).sort()).toEqual(['kept', 'new.tmp-0123abcd']);
  await sweepLeftovers(folder, 0);
  expect(await readdir(folder)).toEqual(['kept']);
});

test('folderSize counts files below', async () => {
  const folder = await temporaryFolder();
  writeText(join(folder, 'a', 'b.json'), '12345');
  expect(await folderSize(folder)).toBe(5);
});

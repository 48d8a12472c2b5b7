// Files are whole or not there.
import { readdirSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../../test/setup.js';
import { systemError } from '../errors.js';
import { appendText, isTemporaryName, makeFolder, replaceFile, temporaryName, writeText } from './write.js';

test('writeText makes the folder and leaves one file', async () => {
  const folder = await temporaryFolder();
  writeText(join(folder, 'a', 'b.json'), '12345');
  expect(await readdir(join(folder, 'a'))).toEqual(['b.json']);
  writeText(join(folder, 'a', 'b.json'), '67');
  expect(readFileSync(join(folder, 'a', 'b.json'), 'utf8')).toBe('67');
});

test('what fails midway leaves the old file, and nothing else', async () => {
  const folder = await temporaryFolder();
  const path = join(folder, 'file');
  writeText(path, 'old');
  const failing = () =>
    replaceFile(path, (write) => {
      write(Buffer.from('new'));
      expect(readdirSync(folder).filter(isTemporaryName)).toHaveLength(1);
      throw new Error('cut');
    });
  expect(failing).toThrow('cut');
  expect(readdirSync(folder)).toEqual(['file']);
  expect(readFileSync(path, 'utf8')).toBe('old');
});

test('a folder that is none: the error names the file that was asked for', () => {
  const failing = () => replaceFile('/dev/full/none', () => {});
  expect(failing).toThrow(expect.objectContaining({ path: '/dev/full/none' }));
});

test('makeFolder: folders in folders, twice, in a file, and where the system makes none', async () => {
  const folder = await temporaryFolder();
  const deep = join(folder, 'a/b/c');
  makeFolder(deep);
  makeFolder(deep);
  expect(readdirSync(join(folder, 'a/b'))).toEqual(['c']);
  writeText(join(folder, 'file'), 'x');
  expect(() => makeFolder(join(folder, 'file/d'))).toThrow(/ENOTDIR|EEXIST/u);
  // Node.js does not come back from the recursive call.
  if (process.platform === 'linux') expect(() => makeFolder('/proc/none/d')).toThrow(/ENOENT/u);
});

test('a full disk: the error names the file and the bytes, and is one for people', () => {
  let error: unknown;
  try {
    appendText('/dev/full', 'x'.repeat(2000));
  } catch (thrown) {
    error = thrown;
  }
  const message = '/dev/full: no space left on the disk for 2,000 bytes';
  expect(systemError(error)).toMatchObject({ message, code: 'disk' });
});

test('temporary names are told from others', () => {
  expect(isTemporaryName(temporaryName('config.yaml'))).toBe(true);
  expect(isTemporaryName('config.yaml.0a1b2c3d.tmp')).toBe(true);
  expect(isTemporaryName('tmp')).toBe(false);
  expect(isTemporaryName('my.tmp-notes')).toBe(false);
});

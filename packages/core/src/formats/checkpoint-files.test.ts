import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import { checkpointFiles } from './checkpoint-files.js';

const temporary = mkdtempSync(join(tmpdir(), 'promot-shards-'));
afterAll(() => rmSync(temporary, { recursive: true }));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(temporary, 'folder-'));
});

const put = (name: string, content = '') => writeFileSync(join(folder, name), content);
const index = (map: unknown) => JSON.stringify({ metadata: {}, weight_map: map });

test('a single file, safetensors before pytorch_model.bin', () => {
  put('pytorch_model.bin');
  expect(checkpointFiles(folder)).toEqual({ format: 'pytorch', paths: [join(folder, 'pytorch_model.bin')] });
  put('model.safetensors');
  expect(checkpointFiles(folder)).toEqual({ format: 'safetensors', paths: [join(folder, 'model.safetensors')] });
});

test('shards of both formats, each once', () => {
  put('b.bin');
  put('a.bin');
  put('pytorch_model.bin.index.json', index({ x: 'b.bin', y: 'a.bin', z: 'b.bin' }));
  expect(checkpointFiles(folder)).toMatchObject({
    format: 'pytorch',
    paths: [join(folder, 'a.bin'), join(folder, 'b.bin')],
  });
  put('s.safetensors');
  put('model.safetensors.index.json', index({ x: 's.safetensors' }));
  const { paths, index: found } = checkpointFiles(folder);
  expect(paths).toEqual([join(folder, 's.safetensors')]);
  expect([...found!.places]).toEqual([['x', join(folder, 's.safetensors')]]);
});

test.each([
  ['a path upwards', index({ x: '../secret.safetensors' }), /is no file of this folder/],
  ['an absolute path', index({ x: '/etc/passwd' }), /is no file of this folder/],
  ['a Windows path', index({ x: '..\\secret' }), /is no file of this folder/],
  ['the folder above', index({ x: '..' }), /is no file of this folder/],
  ['a number', index({ x: 3 }), /is no file of this folder/],
  ['a missing shard', index({ x: 'gone.safetensors' }), /gone\.safetensors is missing/],
  ['no shards', index({}), /lists no shards/],
  ['no map', '{}', /no "weight_map"/],
  ['null', 'null', /must hold a JSON object/],
  ['half a file', '{"weight_map": {', /is not JSON/],
])('an index with %s is refused', (_what, content, reason) => {
  writeFileSync(join(temporary, 'secret.safetensors'), '');
  put('model.safetensors.index.json', content);
  expect(() => checkpointFiles(folder)).toThrow(UserError);
  expect(() => checkpointFiles(folder)).toThrow(reason);
});

test('a folder without weights', () => {
  expect(() => checkpointFiles(folder)).toThrow(/has no weights/);
});

// What a run folder promises where a process was killed, or another came first. (Checkpoints: checkpoints.test.ts)
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import { readRun } from './run-file.js';
import { RunFolder } from './run-folder.js';

const temporary = mkdtempSync(join(tmpdir(), 'promot-run-folder-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

const info = { method: 'promot', model: 'lab', tasks: ['rte'] };
test('create: a run that appeared meanwhile is left as it is, and nothing stays locked', async () => {
  const path = join(temporary, 'meanwhile');
  mkdirSync(path);
  writeFileSync(join(path, 'run.json'), 'of another process');
  const refused = expect(RunFolder.create(path, info, {})).rejects;
  await refused.toThrow(UserError);
  expect(readFileSync(join(path, 'run.json'), 'utf8')).toBe('of another process');
  expect(readdirSync(path)).toEqual(['run.json']);
});

test('create and reopen lock the folder until unlock', async () => {
  const path = join(temporary, 'locked');
  const run = await RunFolder.create(path, info, {});
  await expect(RunFolder.reopen(path)).rejects.toThrow(join(path, 'lock'));
  await run.unlock();
  const again = await RunFolder.reopen(path);
  await expect(RunFolder.create(path, info, {})).rejects.toThrow(join(path, 'lock'));
  await again.unlock();
  expect(existsSync(join(path, 'lock'))).toBe(false);
});

test('reopen removes what a killed process was about to write, and nothing else', async () => {
  const path = join(temporary, 'left-over');
  await (await RunFolder.create(path, info, {})).unlock();
  const before = readdirSync(path, { recursive: true }).sort();
  mkdirSync(join(path, 'checkpoints/model-000004.tmp'));
  for (const file of ['checkpoints/model-000004.tmp/trained.safetensors', 'samples/model-000002.jsonl.0a1b2c3d.tmp'])
    writeFileSync(join(path, file), 'half');
  await (await RunFolder.reopen(path)).unlock();
  expect(readdirSync(path, { recursive: true }).sort()).toEqual(before);
});

test.each(['null', '{}', '{"model": "lab"}', '{"method": "promot"}', '{"model": 3, "method": "promot"}', '{"mod'])(
  'a run.json that holds %s is damaged',
  (content) => {
    const path = mkdtempSync(join(temporary, 'run-'));
    writeFileSync(join(path, 'run.json'), content);
    expect(() => readRun(path)).toThrow(UserError);
    expect(() => readRun(path)).toThrow(join(path, 'run.json'));
  },
);

// What a run folder promises where a process was killed, a file damaged, or another process came first.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zeros } from '@promot/torch';
import { afterAll, expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import { readRun } from './run-file.js';
import { RunFolder, type StageState } from './run-folder.js';

const temporary = mkdtempSync(join(tmpdir(), 'promot-run-folder-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

const info = { method: 'promot', model: 'lab', tasks: ['rte'] };
const weights = new Map([['weight', zeros([8])]]);

/** A stage at a step, with kept checkpoints at every second step. */
const stateAt = (step: number): StageState => ({
  ...{ stage: 'model', step, seconds: step },
  candidates: Array.from({ length: step / 2 }, (_, i) => ({ step: 2 * (i + 1), score: 50, evalLoss: 1 })),
});

/** A run folder with checkpoints, pruned as a run does. */
async function runWith(name: string, ...steps: number[]): Promise<RunFolder> {
  const run = await RunFolder.create(join(temporary, name), info, {});
  for (const step of steps) {
    await run.saveCheckpoint(stateAt(step), weights, weights);
    await run.prune(stateAt(step), 1);
  }
  await run.unlock();
  return run;
}

test('a kept checkpoint that was evaluated is not saved again: only state.json is written', async () => {
  const run = await runWith('updated', 2);
  const files = ['trained.safetensors', 'optimizer.safetensors'].map((file) =>
    join(run.checkpointPath('model', 2), file),
  );
  const before = files.map((file) => statSync(file).ino);
  const state = { ...stateAt(2), seconds: 77 };
  await run.updateCheckpoint(state);
  expect(files.map((file) => statSync(file).ino)).toEqual(before);
  expect(run.newestState('model')).toEqual(state);
});

test('the two newest checkpoints stay whole: the one before counts where the newest is cut short, or gone', async () => {
  const run = await runWith('damaged', 2, 4, 6);
  expect(run.checkpointSteps('model')).toEqual([4, 6]);
  expect(run.newestState('model')).toEqual(stateAt(6));
  const newest = run.checkpointPath('model', 6);
  const file = join(newest, 'trained.safetensors');
  truncateSync(file, statSync(file).size - 4);
  expect(run.newestState('model')).toEqual(stateAt(4));
  // As a kill leaves it between the removal of a checkpoint and the renaming of the new one.
  rmSync(newest, { recursive: true });
  expect(run.newestState('model')).toEqual(stateAt(4));
});

test('a state.json that says nothing of candidates does not count', async () => {
  const run = await runWith('no-candidates', 2, 4);
  writeFileSync(join(run.checkpointPath('model', 4), 'state.json'), '{"stage":"model","step":4,"seconds":4}');
  expect(run.newestState('model')).toEqual(stateAt(2));
});

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
  const { path } = await runWith('left-over', 2);
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

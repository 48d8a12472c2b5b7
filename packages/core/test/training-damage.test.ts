// Runs whose files were damaged between a stop and the resume: they come to the bits of a run that was not hurt, and
// never get stuck.
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type TrainRequest, train, type WorkEvent } from '../src/training/train.js';
import { smallModel, smallSettings, smallTask } from './small-task.js';

const { folder, task } = smallTask();
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (...path: string[]) => join(folder, ...path);
const request = (out: string, more: Partial<TrainRequest> = {}): TrainRequest => ({
  model: smallModel(),
  task,
  method: 'promot',
  out: at(out),
  settings: smallSettings,
  ...more,
});
const result = (out: string) =>
  ['prompt/adapter_model.safetensors', 'model/model.safetensors'].map((file) =>
    readFileSync(at(out, file)).toString('base64'),
  );

beforeAll(async () => {
  await train(request('whole'));
  // Stopped in the second stage, at step 5: checkpoints of steps 4 and 5, and of the best.
  const abort = new AbortController();
  const onEvent = (event: WorkEvent) => {
    if (event.type === 'step' && event.stage === 'model' && event.step === 5) abort.abort();
  };
  expect((await train(request('stopped', { signal: abort.signal, onEvent }))).finished).toBe(false);
}, 240_000);

/** Goes on with a copy of the stopped run after some damage; what it says. */
async function resumed(name: string, damage: (checkpoints: string) => void, from = 'stopped'): Promise<string[]> {
  cpSync(at(from), at(name), { recursive: true });
  damage(at(name, 'checkpoints'));
  const notes: string[] = [];
  const onEvent = (event: WorkEvent) => {
    if (event.type === 'note') notes.push(event.text);
  };
  expect((await train(request(name, { resume: true, onEvent }))).finished).toBe(true);
  expect(result(name)).toEqual(result('whole'));
  return notes;
}
const zeros = (path: string) => writeFileSync(path, Buffer.alloc(readFileSync(path).length));

test('the newest checkpoint', async () => {
  const notes = await resumed('newest', (c) => zeros(join(c, 'model-000005/trained.safetensors')));
  expect(notes).toContain('stage model: goes on from step 4');
});

test('the two newest: the stage begins anew', async () => {
  const notes = await resumed('two', (c) => {
    zeros(join(c, 'model-000005/optimizer.safetensors'));
    truncateSync(join(c, 'model-000004/trained.safetensors'), 100);
  });
  expect(notes).toContain('stage model: begins anew');
  expect(readdirSync(at('two', 'checkpoints')).filter((name) => name.includes('damaged'))).toHaveLength(2);
});

test('all of both stages', async () => {
  const notes = await resumed('all', (c) => {
    for (const name of readdirSync(c)) zeros(join(c, name, 'state.json'));
  });
  expect(notes).toContain('stage prompt: begins anew');
  expect(notes).toContain('stage model: begins anew');
});

test('the first stage alone, when the second has begun', async () => {
  const notes = await resumed('first', (c) => {
    for (const name of readdirSync(c))
      if (name.startsWith('prompt-')) truncateSync(join(c, name, 'trained.safetensors'), 50);
  });
  expect(notes).toContain('stage prompt: begins anew');
});

describe('a finished run', () => {
  test('whose checkpoints are damaged comes to the same result', async () => {
    await resumed(
      'finished',
      (c) => {
        for (const name of readdirSync(c)) zeros(join(c, name, 'trained.safetensors'));
        writeFileSync(at('finished/model/model.safetensors'), 'damaged');
      },
      'whole',
    );
  });

  test('whose finished.json is damaged, and samples/ is gone', async () => {
    const path = at('unknown/finished.json');
    const notes = await resumed(
      'unknown',
      () => {
        if (existsSync(path)) writeFileSync(path, readFileSync(path, 'utf8').replace('"step": 6', '"step": 5'));
        rmSync(at('unknown/samples'), { recursive: true });
      },
      'whole',
    );
    if (existsSync(at('whole/finished.json'))) expect(notes[0]).toMatch(/finished\.json.*set aside/);
  });
});

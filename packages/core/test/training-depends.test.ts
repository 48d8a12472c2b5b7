// What a run depends on: where it has changed between a stop and the resume, the run is refused with its name.
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type TrainRequest, train, type WorkEvent } from '../src/training/train.js';
import { otherTask, smallModel, smallSettings, smallTask } from './small-task.js';

const { folder, task } = smallTask();
const other = otherTask(folder);
const third = smallTask();
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  rmSync(third.folder, { recursive: true, force: true });
});

const model = join(folder, 'model');
const adapter = join(folder, 'adapter');
const replayed = join(third.folder, 'train.jsonl');
const request = (more: Partial<TrainRequest> = {}): TrainRequest => ({
  model,
  task,
  method: 'promot',
  out: join(folder, 'run'),
  settings: {
    ...smallSettings,
    promptInit: adapter,
    promptLength: 3,
    stage1: { steps: 2, keepEvery: 2 },
    keep: { tasks: [other], shots: 1, limit: 4 },
    replay: { tasks: [third.task], share: 0.5 },
  },
  ...more,
});

beforeAll(async () => {
  cpSync(smallModel(), model, { recursive: true });
  const settings = { ...smallSettings, stage1: { steps: 1, keepEvery: 1 } };
  await train({ model, task, method: 'prompt-tune', out: join(folder, 'before'), settings });
  cpSync(join(folder, 'before', 'prompt'), adapter, { recursive: true });
  writeFileSync(third.task, readFileSync(third.task, 'utf8').replace('name: colours', 'name: thirds'));
  const abort = new AbortController();
  const onEvent = (event: WorkEvent) => {
    if (event.type === 'step' && event.stage === 'model') abort.abort();
  };
  await train(request({ signal: abort.signal, onEvent }));
}, 240_000);

/** Another number at the end of a file of tensors. */
function nudge(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length - 3]! ^= 1;
  writeFileSync(path, bytes);
}

test.each([
  ['the base model', join(model, 'model.safetensors'), nudge, /: the base model \(its files\) is not what it was/],
  ['the prompt it starts from', join(adapter, 'adapter_model.safetensors'), nudge, /: the adapter of promptInit/],
  ['data of replay', replayed, (p: string) => edit(p, 'river', 'brook'), /: task thirds of replay\.tasks/],
  [
    'exemplars of keep',
    join(folder, 'shades/train.jsonl'),
    (p: string) => edit(p, 'river', 'brook'),
    /: task shades of keep/,
  ],
  [
    'questions of keep',
    join(folder, 'shades/validation.jsonl'),
    (p: string) => edit(p, 'red', 'rot'),
    /: task shades of keep/,
  ],
])('%s', async (_name, path, change, message) => {
  const before = readFileSync(path);
  change(path);
  try {
    await expect(train(request({ resume: true }))).rejects.toThrow(message);
  } finally {
    writeFileSync(path, before);
  }
});

test('as it was, the run goes on', async () => {
  expect((await train(request({ resume: true }))).finished).toBe(true);
});

function edit(path: string, from: string, to: string): void {
  const text = readFileSync(path, 'utf8');
  expect(text).toContain(from);
  writeFileSync(path, text.replace(from, to));
}

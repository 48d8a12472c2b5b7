// Methods of one's own: any number of stages with settings of their own, a soft prompt attached in some of them only.
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { watchTensors } from '@promot/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { readRun } from '../../src/artifacts/run-file.js';
import type { TrainingConfig } from '../../src/methods/index.js';
import { findMethod, registerMethod } from '../../src/methods/index.js';
import { type CheckpointMoment, type TrainRequest, train } from '../../src/training/train.js';
import { smallModel, smallSettings, smallTask } from '../small-task.js';

const { folder, task } = smallTask();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

registerMethod({
  name: 'bare-first',
  summary: 'fine-tune a little without the prompt, then behind it',
  stages: [
    { name: 'prompt', settings: 'stage1', trains: ['prompt'] },
    { name: 'bare', settings: 'bare', trains: ['model'] },
    { name: 'model', settings: 'stage2', trains: ['model'], attaches: ['prompt'] },
  ],
  defaults: { stages: { bare: { steps: 2, keepEvery: 2, learningRate: 0.01 } } },
});
registerMethod({
  name: 'lora-then-bare',
  summary: 'LoRA first, then the model without it',
  stages: [
    { name: 'lora', settings: 'stage1', trains: ['lora'] },
    { name: 'model', settings: 'stage2', trains: ['model'] },
  ],
});

const request = (out: string, method: string, more: Partial<TrainRequest> = {}): TrainRequest => ({
  model: smallModel(),
  task,
  method,
  out: join(folder, out),
  settings: smallSettings,
  ...more,
});

describe('a method of three stages', () => {
  test('goes through them in turn; the prompt is there in those that train or attach it', async () => {
    const left = watchTensors();
    const seen: [string, number, boolean][] = [];
    const atCheckpoint = async ({ stage, step, prompt }: CheckpointMoment) => {
      seen.push([stage, step, prompt !== undefined]);
      return undefined;
    };
    const result = await train(request('three', 'bare-first', { atCheckpoint }));
    expect(result.stages.map(({ stage }) => stage)).toEqual(['prompt', 'bare', 'model']);
    expect(seen).toEqual([
      ...[0, 2, 4, 6].map((step) => ['prompt', step, true]),
      ...[0, 2].map((step) => ['bare', step, false]),
      ...[0, 2, 4, 6].map((step) => ['model', step, true]),
    ]);
    expect(left()).toBe(0);
    const { stages } = readRun(join(folder, 'three')).config as TrainingConfig;
    expect([stages.bare!.steps, stages.stage2!.steps]).toEqual([2, 6]);
  });

  test('its own settings are set below `stages`; the bits of the stage before stay', async () => {
    const settings = { ...smallSettings, stages: { bare: { steps: 4 } } };
    const result = await train(request('longer', 'bare-first', { settings }));
    expect(result.stages.map(({ best }) => best.step)[1]).toBeGreaterThan(0);
    expect((readRun(join(folder, 'longer')).config as TrainingConfig).stages.bare!.steps).toBe(4);
    await expect(
      train(request('unknown', 'bare-first', { settings: { stages: { bear: { steps: 4 } } } })),
    ).rejects.toThrow(/unknown setting stages\.bear \(did you mean "stages\.bare"/);
    expect(existsSync(join(folder, 'unknown'))).toBe(false);
  });
});

test('a stage that does not attach LoRA is without it', async () => {
  const losses = new Map<string, number>();
  const settings = { ...smallSettings, dropout: 0, stage1: { ...smallSettings.stage1, learningRate: 0.5 } };
  for (const method of ['fine-tune', 'lora-then-bare', 'lora-first'])
    await train(
      request(method, method, {
        settings,
        onEvent: (e) => e.type === 'step' && e.stage === 'model' && e.step === 1 && losses.set(method, e.loss),
      }),
    );
  expect(losses.get('lora-then-bare')).toBe(losses.get('fine-tune'));
  expect(losses.get('lora-first')).not.toBe(losses.get('fine-tune'));
});

describe('registering', () => {
  const stage = { name: 'model', settings: 'stage2', trains: ['model'] } as const;
  test.each<[string, Parameters<typeof registerMethod>[0], RegExp]>([
    ['a name that is taken', { name: 'promot', summary: '', stages: [stage] }, /a method "promot" already/],
    ['no stage', { name: 'none', summary: '', stages: [] }, /has no stage/],
    ['a stage twice', { name: 'twice', summary: '', stages: [stage, stage] }, /two stages "model"/],
    [
      'a stage that is a path',
      { name: 'path', summary: '', stages: [{ ...stage, name: '../x' }] },
      /no name for a stage/,
    ],
    [
      'settings that are unknown',
      { name: 'odd', summary: '', stages: [stage], defaults: { stpes: 1 } },
      /unknown setting/,
    ],
  ])('%s is refused', (_name, method, message) => {
    expect(() => registerMethod(method)).toThrow(message);
  });

  test('an unknown method names those that are there, registered ones among them', () => {
    expect(() => findMethod('bare-frist')).toThrow(/did you mean "bare-first".*promot.*lora-then-bare/);
  });
});

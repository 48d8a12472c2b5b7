// Runs with other objectives: that the settings reach the steps, and what a leash to the pretrained model does.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { watchTensors } from '@promot/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { readRun } from '../src/artifacts/run-file.js';
import { loadFolder } from '../src/models/load.js';
import { openModel } from '../src/open/open.js';
import { type TrainRequest, train } from '../src/training/train.js';
import { type SmallModel, smallModel, smallSettings, smallTask } from './small-task.js';

const { folder, task } = smallTask();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Trains and gives the losses of the model's stage. */
async function run(name: string, method: string, more: object, base: SmallModel = 't5-v1.1'): Promise<number[]> {
  const losses: number[] = [];
  const request: TrainRequest = {
    model: smallModel(base),
    task,
    method,
    out: join(folder, name),
    settings: { ...smallSettings, dropout: 0, ...more },
    onEvent: (event) => event.type === 'step' && event.stage === 'model' && losses.push(event.loss),
  };
  await train(request);
  return losses;
}

/** How far a run's model went from its base: the Euclidean distance over all parameters. */
async function distance(name: string, base: SmallModel = 't5-v1.1'): Promise<number> {
  const [before, after] = [loadFolder(smallModel(base), 'float32'), await openModel(join(folder, name), 'float32')];
  let squares = 0;
  for (const [key, value] of after.model.parameters)
    squares += value.sub(before.model.parameters.get(key)!).square().sum().item();
  before.dispose();
  after.dispose();
  return Math.sqrt(squares);
}

test('loss=eaft and loss=dft change the steps; nothing is smoothed unless it is asked for', async () => {
  const usual = await run('usual', 'fine-tune', { labelSmoothing: 0 });
  for (const loss of ['eaft', 'dft']) {
    const own = await run(loss, 'fine-tune', { loss });
    // Both weigh a token by at most 1.
    expect(own[0]!).toBeLessThan(usual[0]!);
    expect(own[0]!).toBeGreaterThan(0);
    expect(readRun(join(folder, loss)).config).toMatchObject({ loss, labelSmoothing: 0 });
    const smoothed = await run(`${loss}-smoothed`, 'fine-tune', { loss, labelSmoothing: 0.1 });
    expect(smoothed[0]).not.toBe(own[0]);
  }
});

describe.each(['t5-v1.1', 'llama'] as const)('kl.weight on %s', (base) => {
  test('is nothing at the first step, and holds the model back after it', async () => {
    const left = watchTensors();
    const free = await run(`free-${base}`, 'fine-tune', {}, base);
    const held = await run(`held-${base}`, 'fine-tune', { kl: { weight: 10 } }, base);
    expect(left()).toBe(0);
    expect(Math.abs(held[0]! - free[0]!)).toBeLessThan(1e-4);
    expect(held[1]).not.toBe(free[1]);
    expect(await distance(`held-${base}`, base)).toBeLessThan(await distance(`free-${base}`, base));
  });

  test('with a soft prompt: the two models are compared without it, or with it', async () => {
    const stages = { stage1: { steps: 2, keepEvery: 2 }, stage2: { steps: 2, keepEvery: 2, learningRate: 0.01 } };
    const free = await run(`p-free-${base}`, 'promot', stages, base);
    const without = await run(`p-without-${base}`, 'promot', { ...stages, kl: { weight: 10 } }, base);
    const kl = { weight: 10, prompt: true };
    const withPrompt = await run(`p-with-${base}`, 'promot', { ...stages, kl }, base);
    for (const losses of [without, withPrompt]) expect(Math.abs(losses[0]! - free[0]!)).toBeLessThan(1e-4);
    expect(new Set([free[1], without[1], withPrompt[1]]).size).toBe(3);
  });
});

test.each<[string, string, object, RegExp]>([
  ['an unknown objective', 'fine-tune', { loss: 'eatf' }, /unknown objective "eatf" \(did you mean "eaft"/],
  ['a leash for a model that stays', 'prompt-tune', { kl: { weight: 1 } }, /kl\.weight: prompt-tune does not train/],
  ['a leash without weight', 'promot', { kl: { prompt: true } }, /kl\.prompt: kl\.weight is 0/],
])('%s is refused', async (_name, method, settings, message) => {
  await expect(run('refused', method, settings)).rejects.toThrow(message);
});

// The table of arms: names and settings that runs under way rely on, and which arms a request takes.
import { methods, parseSettings } from '@promot/core/methods';
import { describe, expect, test } from 'vitest';
import { arms, armsBefore, chooseArms, isArm } from './arms.js';

const lengths = { prompt: 100, model: 240, look: 60 };
const promptInit = 'text:Say whether.';
const all = arms({ lengths, promptInit, promptRate: 0.1, seeds: 1 });
const find = (name: string) => all.find((arm) => arm.name === name)!;

test('names are unique, needs are there and come first, settings are the library’s', () => {
  const names = arms({ lengths, promptInit, promptRate: 0.1, seeds: 3 }).map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const [i, arm] of all.entries()) {
    for (const need of armsBefore(arm)) expect(all.slice(0, i).map(({ name }) => name)).toContain(need);
    if (arm.train === undefined) continue;
    expect(methods.find(arm.train)).toBeDefined();
    expect(() => parseSettings(arm.settings!)).not.toThrow();
  }
});

test('runs that began with the first release go on: their names and settings', () => {
  const common = {
    preset: 'paper',
    batchSize: 16,
    microBatchSize: 16,
    dropout: 0,
    labelSmoothing: 0,
    beams: 1,
    validationLimit: 100,
    promptLength: 20,
  };
  const stage = { optimizer: 'adamw', beta2: 0.98, warmupSteps: 10, gradientClip: 1 };
  expect(find('prompt')).toMatchObject({
    train: 'prompt-tune',
    settings: { ...common, promptInit, stage1: { ...stage, steps: 100, keepEvery: 50, learningRate: 0.1 } },
  });
  const settings = { ...common, stage2: { ...stage, steps: 240, keepEvery: 60, learningRate: 0.00001 } };
  expect(find('promot-0.00001')).toMatchObject({ train: 'random-prompt', promptOf: 'prompt' });
  expect(find('promot-0.00001').settings).toEqual(settings);
  expect(find('fine-tune-0.00001')).toMatchObject({ train: 'fine-tune' });
  expect(find('fine-tune-0.00001').settings).toEqual(settings);
});

test('every method of the issue is there, at three rates or strengths', () => {
  const count = (method: string) => all.filter((arm) => arm.method === method).length;
  for (const method of [
    'fine-tuning',
    'LoRA, rank 8',
    'LoRA, rank 64',
    'prompt tuning',
    'ProMoT',
    'ProMoT + 1-shot',
    'fine-tuning + KL',
    'EAFT',
    'replay',
    'WiSE-FT',
    'ProMoT + KL',
    'ProMoT + EAFT',
    'ProMoT, then WiSE-FT',
    'ProMoT, LoRA in stage 2',
  ])
    expect(`${method} ${count(method)}`).toBe(`${method} 3`);
});

test('the rates of a prompt are multiples of the usual one, which suits the model', () => {
  const names = (promptRate: number) =>
    arms({ lengths, promptInit, promptRate, seeds: 1 }).flatMap(({ name, method, rate }) =>
      method === 'prompt tuning' ? [[name, rate]] : [],
    );
  expect(names(0.1)).toEqual([
    ['prompt', 0.1],
    ['prompt-0.03', 0.03],
    ['prompt-0.3', 0.3],
  ]);
  expect(names(0.03)).toEqual([
    ['prompt', 0.03],
    ['prompt-0.009', 0.009],
    ['prompt-0.09', 0.09],
  ]);
});

describe('what is chosen', () => {
  const chosen = (only: string[], seeds = 1) =>
    chooseArms(arms({ lengths, promptInit, promptRate: 0.1, seeds }), only).map(({ name }) => name);

  test('an arm with what it needs, and the model before training', () => {
    expect(chosen(['promot-wise-ft-0.00001'])).toEqual([
      'before',
      'prompt',
      'promot-0.00001',
      'promot-wise-ft-0.00001',
    ]);
  });

  test('a name takes all seeds, each behind the prompt of its own seed', () => {
    expect(chosen(['promot-0.00001'], 2)).toEqual([
      'before',
      'prompt',
      'prompt-seed-1',
      'promot-0.00001',
      'promot-0.00001-seed-1',
    ]);
    expect(chosen(['promot-0.00001-seed-1'], 2)).toEqual(['before', 'prompt-seed-1', 'promot-0.00001-seed-1']);
  });

  test('a group', () => {
    expect(chosen(['first'])).toHaveLength(11);
    expect(chosen(['why'])).toEqual(expect.arrayContaining(['why-steps-0', 'why-random-0.00001', 'absorbed-rows-5']));
  });

  test('what there is', () => {
    expect(isArm(all, 'why')).toBe(true);
    expect(isArm(all, 'fine-tune-7')).toBe(false);
  });
});

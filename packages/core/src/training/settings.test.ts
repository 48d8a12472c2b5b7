// Settings, schedules and the order of examples: pure functions that people script against.
import { describe, expect, test } from 'vitest';
import { configKeys, defaultConfig, resolveConfig } from './config.js';
import { ExampleOrder } from './order.js';
import { learningRateAt } from './schedule.js';

describe('settings', () => {
  const defaults = defaultConfig('encoder-decoder', false);

  test('the defaults are the paper’s (A.2.4, A.3.5)', () => {
    expect(defaults).toMatchObject({
      batchSize: 64,
      dropout: 0.1,
      labelSmoothing: 0.1,
      zLoss: 0,
      promptLength: 100,
      beams: 4,
    });
    expect(defaults.stages.stage1).toMatchObject({
      steps: 5000,
      learningRate: 0.2,
      keepEvery: 1000,
      schedule: 'constant',
      warmupSteps: 0,
    });
    expect(defaults.stages.stage2).toMatchObject({
      steps: 1000,
      learningRate: 0.001,
      keepEvery: 100,
      firstStep: 0,
      gradientClip: 0,
    });
    expect(defaultConfig('decoder-only', false)).toMatchObject({ dropout: 0, promptLength: 50 });
    expect([defaults.precision, defaultConfig('encoder-decoder', true).precision]).toEqual(['fp32', 'bf16']);
  });

  test('what is given overlays the defaults, key by key', () => {
    const config = resolveConfig(defaults, { seed: 3, stage1: { steps: 10 } });
    const { stage1, stage2 } = defaults.stages;
    expect(config).toEqual({ ...defaults, seed: 3, stages: { stage1: { ...stage1, steps: 10 }, stage2 } });
    expect(resolveConfig(defaults, { seed: 3, stages: { stage1: { steps: 10 } } })).toEqual(config);
    expect(resolveConfig(defaults, {})).toEqual(defaults);
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['an unknown key', { bachSize: 3 }, /unknown setting bachSize.*batchSize/],
    ['a key that every object has', { constructor: 1 }, /unknown setting constructor/],
    ['an inner key that every object has', { stage1: { toString: 1 } }, /unknown setting stage1\.toString/],
    ['an unknown inner key', { stage1: { stepz: 3 } }, /unknown setting stage1\.stepz.*stage1\.steps/],
    ['a value for a group', { stage2: 4 }, /stage2: expected settings/],
    ['a wrong type', { batchSize: 'many' }, /setting batchSize/],
    ['out of range', { stage2: { steps: 0 } }, /setting stage2\.steps/],
    ['a batch that no memory holds', { microBatchSize: 65_537 }, /setting microBatchSize: .*65536/],
    ['a prompt that no model reads', { promptLength: 10_001 }, /setting promptLength: .*10000/],
    ['a rate that overflows', { stage1: { learningRate: 1e7 } }, /setting stage1\.learningRate: .*1000000/],
    ['an unknown key of the keep list', { keep: { task: ['wic'] } }, /unknown setting keep\.task.*keep\.tasks/],
    ['a list that is none', { keep: { tasks: 'wic' } }, /setting keep\.tasks: .*list of tasks/],
    ['exemplars of another number', { keep: { shots: 2 } }, /setting keep\.shots: .*0, 1 or 4/],
    ['a share of everything', { replay: { share: 1 } }, /setting replay\.share/],
    ['a mixture of another kind', { mixing: 'bysize' }, /setting mixing: expected equal, size, or a rate/],
    ['a rate of 0', { mixing: { rte: 0 } }, /setting mixing/],
    [
      'a stage that the method has not',
      { stages: { stage3: { steps: 4 } } },
      /unknown setting stages\.stage3.*stages\.stage/,
    ],
    [
      'an unknown key below stages',
      { stages: { stage1: { stepz: 4 } } },
      /unknown setting stages\.stage1\.stepz.*steps/,
    ],
    ['an unknown device', { device: 'tpu' }, /setting device: .*auto.*cpu.*cuda/],
    ['an unknown choice', { stage1: { schedule: 'cosin' } }, /setting stage1\.schedule/],
  ])('%s is refused by name', (_name, given, message) => {
    expect(() => resolveConfig(defaults, given)).toThrow(message);
  });

  test('every key is known by its dotted name', () => {
    expect(configKeys()).toEqual(
      expect.arrayContaining([
        'seed',
        'device',
        'precision',
        'zLoss',
        'mixing',
        'stage1.steps',
        'stage2.keepEvery',
        'stage2.loraRank',
        'keep.tasks',
        'keep.shots',
        'keep.limit',
        'keep.tolerance',
        'replay.tasks',
        'replay.share',
      ]),
    );
  });
});

describe('schedules', () => {
  const at = (schedule: 'constant' | 'linear' | 'inverse-sqrt' | 'cosine', step: number, warmupSteps = 4) =>
    learningRateAt(step, { schedule, warmupSteps, learningRate: 2, steps: 12 });

  test('climb linearly over the warm-up, then follow their formula', () => {
    for (const schedule of ['constant', 'linear', 'inverse-sqrt', 'cosine'] as const)
      expect([1, 2, 4].map((step) => at(schedule, step))).toEqual([0.5, 1, 2]);
    expect([5, 12].map((step) => at('constant', step))).toEqual([2, 2]);
    expect([5, 9, 12].map((step) => at('linear', step))).toEqual([2, 1, 0.25]);
    expect(at('inverse-sqrt', 16)).toBeCloseTo(1);
    expect(at('cosine', 9)).toBeCloseTo(1);
    expect(at('constant', 1, 0)).toBe(2);
    expect(at('inverse-sqrt', 4, 0)).toBe(1);
  });
});

describe('the order of examples', () => {
  const batch = (order: ExampleOrder, step: number) => [0, 1, 2, 3].map((i) => order.at(4 * step + i));

  test('every epoch is a permutation of all examples, read on across batches', () => {
    const order = new ExampleOrder(10, 7, 0);
    const seen = Array.from({ length: 10 }, (_, step) => batch(order, step)).flat();
    for (const epoch of [0, 1, 2, 3]) {
      const own = seen.filter((place) => place.epoch === epoch).map((place) => place.index);
      expect(own.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
    expect(seen.slice(0, 10).map((p) => p.index)).not.toEqual(seen.slice(10, 20).map((p) => p.index));
  });

  test('is a pure function of the place, the seed and the stage', () => {
    const fresh = (seed: number, stage: number) => batch(new ExampleOrder(100, seed, stage), 30);
    const walked = new ExampleOrder(100, 1, 0);
    for (let step = 0; step < 30; step++) batch(walked, step);
    expect(batch(walked, 30)).toEqual(fresh(1, 0));
    expect(fresh(2, 0)).not.toEqual(fresh(1, 0));
    expect(fresh(1, 1)).not.toEqual(fresh(1, 0));
  });
});

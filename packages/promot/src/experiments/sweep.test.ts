// Sweeps: which runs a file means, what is refused, and one that is trained, stopped and gone on with.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { planSweep, sweep } from './sweep.js';

const folder = mkdtempSync(join(tmpdir(), 'promot-sweep-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const base = { model: 'm', task: 't.yaml', method: 'fine-tune', out: 'x', batchSize: 4 };
const names = (config: object) => planSweep({ config: config as Record<string, unknown> }).jobs.map(({ name }) => name);

describe('the runs', () => {
  test('of a grid: every combination with every seed; keys nested or dotted, settings and the method', () => {
    const grid = { stage2: { learningRate: [0.1, 0.2] }, method: ['fine-tune', 'lora'] };
    const { jobs } = planSweep({ config: { ...base, sweep: { grid, seeds: 2 } } });
    expect(jobs).toHaveLength(8);
    expect(jobs[3]).toMatchObject({
      name: 'stage2.learningRate=0.1,lora,seed=1',
      method: 'lora',
      settings: { batchSize: 4, seed: 1, stage2: { learningRate: 0.1 } },
    });
    expect(names({ ...base, sweep: { grid: { 'stage2.learningRate': [0.1] }, seeds: [7] } })).toEqual([
      'stage2.learningRate=0.1,seed=7',
    ]);
  });

  test('of several models and tasks', () => {
    const grid = { model: ['lab', 'lab-small'], task: ['lab-rte'] };
    expect(names({ method: 'lora', out: 'out', sweep: { grid } })).toEqual([
      'lab,lab-rte,seed=0',
      'lab-small,lab-rte,seed=0',
    ]);
  });

  test('that are drawn: the same for the same seed, within their range', () => {
    const random = { stage2: { learningRate: { from: 1e-5, to: 1e-3, log: true } }, batchSize: [2, 4, 8] };
    const of = (seed: number) => planSweep({ config: { ...base, sweep: { random, runs: 40, seed } } }).combinations;
    expect(of(1)).toEqual(of(1));
    expect(of(2)).not.toEqual(of(1));
    const rates = of(1).map((one) => one['stage2.learningRate'] as number);
    expect(Math.min(...rates)).toBeGreaterThanOrEqual(1e-5);
    expect(Math.max(...rates)).toBeLessThanOrEqual(1e-3);
    // As many below the middle of the range in logarithms as above it, about.
    const low = rates.filter((rate) => rate < 1e-4).length;
    expect(low).toBeGreaterThan(10);
    expect(low).toBeLessThan(30);
    expect(new Set(of(1).map(({ batchSize }) => batchSize))).toEqual(new Set([2, 4, 8]));
  });

  test.each<[string, object, RegExp]>([
    ['neither grid nor random', { ...base, sweep: {} }, /give grid or random/],
    ['both', { ...base, sweep: { grid: { a: [1] }, random: { b: [1] }, runs: 1 } }, /give grid or random/],
    ['no number of runs', { ...base, sweep: { random: { batchSize: [1] } } }, /runs says how often/],
    ['an unknown setting', { ...base, sweep: { grid: { batchSze: [1] } } }, /unknown setting batchSze.*batchSize/],
    ['a value out of range', { ...base, sweep: { grid: { dropout: [0.1, 2] } } }, /setting dropout/],
    ['an unknown method', { ...base, sweep: { grid: { method: ['promott'] } } }, /unknown method "promott"/],
    ['a run twice', { ...base, sweep: { grid: { batchSize: [4, 4] } } }, /has the run batchSize=4,seed=0 twice/],
    ['no folder', { ...base, out: undefined, sweep: { grid: { batchSize: [4] } } }, /needs a folder/],
    ['no model', { ...base, model: undefined, sweep: { grid: { batchSize: [4] } } }, /model: name one/],
    ['no part that varies', { model: 'lab', task: 'lab-rte' }, /part `sweep` is missing/],
    ['an unknown key of its own', { ...base, sweep: { grid: { batchSize: [4] }, seedz: 3 } }, /seedz/],
  ])('%s is refused', (_name, config, message) => {
    expect(() => names(config)).toThrow(message);
  });
});

test('a sweep goes on after a stop, leaves one report, and takes no other settings into its folder', async () => {
  const task = join(folder, 'task.yaml');
  const lines = (from: number, to: number) =>
    Array.from(
      { length: to - from },
      (_, i) => `{"text": "Number ${from + i}", "label": "${i % 2 ? 'odd' : 'even'}"}\n`,
    );
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'train.jsonl'), lines(0, 8).join(''));
  writeFileSync(join(folder, 'validation.jsonl'), lines(8, 12).join(''));
  writeFileSync(
    task,
    'name: parity\nfiles: { train: train.jsonl, validation: validation.jsonl }\ninput: "{text}"\ntarget: ' +
      '"{label}"\nlabels: [odd, even]\nmetric: accuracy\n',
  );
  const out = join(folder, 'out');
  const config = {
    model: fileURLToPath(new URL('../../../core/golden/models/t5-v1.1', import.meta.url)),
    task,
    out,
    method: 'fine-tune',
    precision: 'fp32',
    beams: 1,
    stage2: { steps: 2 },
    sweep: { grid: { 'stage2.learningRate': [0.01, 0.001] }, seeds: 2 },
  };
  const abort = new AbortController();
  const first = await sweep({
    config,
    signal: abort.signal,
    onEvent: ({ type }) => type === 'job-done' && abort.abort(),
  });
  expect([first.finished, first.files, first.combinations.length]).toEqual([false, [], 1]);

  const done: string[] = [];
  const whole = await sweep({ config, onEvent: (event) => event.type === 'job-done' && done.push(event.name) });
  expect([whole.finished, done.length]).toEqual([true, 3]);
  expect(whole.combinations.map(({ scores }) => scores.length)).toEqual([2, 2]);
  const report = readFileSync(join(out, 'report.md'), 'utf8');
  expect(report).toContain('stage2.learningRate=0.01');
  expect(report).toContain('Best on validation');
  expect(existsSync(join(out, 'runs/stage2.learningRate=0.01,seed=0/model/model.safetensors'))).toBe(true);

  await expect(sweep({ config: { ...config, beams: 2 } })).rejects.toThrow(/other settings/);
});

// Training by several real processes: the losses, results and evaluations of one process, whatever their number, also
// over a resume.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openSafetensors, scope, type Tensor, writeSafetensors } from '@promot/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { Ranks } from '../../torch/test/ranks.js';
import { Parts } from '../src/artifacts/parts.js';
import { version } from '../src/base/version.js';
import { evaluateTasks, type TasksResult } from '../src/evaluation/evaluate-tasks.js';
import { openCheckpoint } from '../src/models/checkpoint.js';
import type { MicroBatch } from '../src/training/micro-batch.js';
import { ownPasses } from '../src/training/parallel.js';
import { train } from '../src/training/train.js';
import { smallModel, smallSettings, smallTask } from './small-task.js';

const { folder, task } = smallTask();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A Python with PyTorch: the one that torchrun belongs to. */
const python = [
  process.env.TORCHRUN ?? '',
  ...(process.env.PATH ?? '').split(delimiter).map((one) => join(one, 'torchrun')),
]
  .filter((path) => path !== '' && existsSync(path))
  .map((path) => join(dirname(path), 'python'))
  .find((path) => existsSync(path));

const ranks = new Ranks(fileURLToPath(new URL('rank-child.mjs', import.meta.url)));
afterAll(() => ranks.close());
/** Three passes a batch (of four ranks one has none), dropout on. */
const settings = {
  ...smallSettings,
  microBatchSize: 2,
  stage1: { steps: 2, keepEvery: 2 },
  stage2: { steps: 4, keepEvery: 2, learningRate: 0.003 },
};
/** The same in fewer steps. */
const short = {
  ...settings,
  stage1: { steps: 1, keepEvery: 1 },
  stage2: { steps: 2, keepEvery: 2, learningRate: 0.003 },
};
const request = (out: string, more: object = {}) => ({
  model: smallModel(),
  task,
  method: 'promot',
  out: join(folder, out),
  settings,
  ...more,
});
const results = async (size: number, part: string, options: object) =>
  (await ranks.play(size, part, options)).map(({ said }) => said);

interface Line {
  loss?: number;
  gradientNorm?: number;
  evalLoss?: number;
  accuracy?: number;
}
function metricsOf(out: string): Line[] {
  const lines = readFileSync(join(folder, out, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n');
  return lines.map((line) => JSON.parse(line) as Line);
}
function expectSame(found: readonly Line[], wanted: readonly Line[]): void {
  expect(found).toHaveLength(wanted.length);
  found.forEach((line, i) => {
    for (const key of ['loss', 'gradientNorm', 'evalLoss', 'accuracy'] as const) {
      const value = wanted[i]![key];
      // To the order of summation, in float32: where a gradient is all but zero, Adafactor's first step shows its sign.
      if (value === undefined) expect(line[key]).toBeUndefined();
      else expect(Math.abs(line[key]! - value), `${key}, line ${i + 1}`).toBeLessThan(2e-5 * Math.max(1, value));
    }
  });
}
const modelBits = (out: string) =>
  createHash('sha256')
    .update(readFileSync(join(folder, out, 'model/model.safetensors')))
    .digest('hex');

/** Runs with several processes; each is compared with the same run of one. */
interface Together {
  readonly name: string;
  readonly model: string;
  readonly method: string;
  readonly size: number;
  readonly shard?: true | 'optimizer' | undefined;
  /** Other settings than `settings`. */
  readonly own?: object;
  /** The run of one process; default: one of its own. */
  readonly alike?: string;
}
const kl = { weight: 3 };
const together: readonly Together[] = [
  { name: 'two', model: smallModel(), method: 'promot', size: 2, alike: 'one' },
  { name: 'four', model: smallModel(), method: 'promot', size: 4, alike: 'one' },
  { name: 'divided', model: smallModel(), method: 'promot', size: 4, shard: true, alike: 'one' },
  { name: 'optimizer', model: smallModel(), method: 'fine-tune', size: 2, shard: 'optimizer', own: short },
  // Every other method and objective once, each way to divide.
  { name: 'kl', model: smallModel('llama'), method: 'promot', size: 2, own: { ...short, kl } },
  {
    name: 'kl-divided',
    model: smallModel('llama'),
    method: 'promot',
    size: 2,
    shard: true,
    own: { ...short, kl },
    alike: 'kl-alone',
  },
  {
    name: 'lora',
    model: smallModel('llama'),
    method: 'lora-first',
    size: 2,
    shard: true,
    // With so many beams one process lays its weights out anew.
    own: { ...short, loss: 'eaft', beams: 4 },
  },
  {
    name: 'lora-merged',
    model: smallModel(),
    method: 'random-prompt',
    size: 2,
    shard: true,
    own: { ...short, kl: { ...kl, prompt: true }, stage2: { ...short.stage2, loraRank: 2 } },
  },
  { name: 'joint', model: smallModel(), method: 'joint', size: 2, own: { ...short, loss: 'dft' } },
  { name: 'adapter', model: smallModel(), method: 'lora', size: 2, own: short },
];
const requestOf = ({ model, method, own = settings }: Together, out: string, shard: Together['shard']) =>
  request(out, { model, method, settings: { ...own, ...(shard && { shard }) } });
const aloneOf = ({ name, alike = `${name}-alone` }: Together) => alike;

/** Megabytes of parameters, gradients and optimizer that a rank held, and the most that it gathered. */
const heldIn = (text: string) => [...text.matchAll(/([\d.]+) MB/g)].map(([, mb]) => Number(mb));

/** The tensors of a run's result, the model's or the adapter's, with a way to read each. */
function resultOf(out: string): ReadonlyMap<string, () => Tensor> {
  const model = join(folder, out, 'model');
  if (existsSync(model)) {
    const { tensors } = openCheckpoint(model);
    return new Map([...tensors].map(([name, one]) => [name, () => one.load()]));
  }
  const stored = openSafetensors(join(folder, out, 'lora/adapter_model.safetensors'));
  return new Map([...stored.entries.keys()].map((name) => [name, () => stored.tensor(name)]));
}

describe('training with several processes', { timeout: 400_000 }, () => {
  test.each(together)(
    '$name: $method on $size, shard=$shard: the losses, gradients, scores and result of one',
    async (run) => {
      const { name, size, shard } = run;
      const alone = aloneOf(run);
      if (!existsSync(join(folder, alone))) await train(requestOf(run, alone, undefined));
      const ends = await results(size, 'train', { request: requestOf(run, name, shard) });
      expect(ends).toMatchObject(Array.from({ length: size }, () => ({ result: { finished: true } })));
      expectSame(metricsOf(name), metricsOf(alone));
      const [found, wanted] = [resultOf(name), resultOf(alone)];
      expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort());
      for (const [key, read] of wanted) {
        // A number whose gradient is all but zero may go the other way in Adafactor's first step.
        const apart = scope(() => found.get(key)!().sub(read()).square().mean().sqrt().item());
        expect(apart, key).toBeLessThan(5e-5);
      }
      if (!shard || !existsSync(join(folder, alone, 'model'))) return;
      const bytes = statSync(join(folder, alone, 'model/model.safetensors')).size;
      for (const end of ends) {
        const { held } = end!.result as { held: string[] };
        const [parameters, gradients, optimizer] = heldIn(held.at(-1)!) as [number, number, number, number];
        // Rows do not divide evenly, and norms are whole.
        if (shard === true) expect(parameters + gradients).toBeLessThan((2.2 / size) * (bytes / 1e6) + 0.02);
        else expect(parameters).toBeGreaterThan(0.9 * (bytes / 1e6));
        expect(optimizer).toBeLessThan((1.1 / size) * (bytes / 1e6) + 0.02);
      }
    },
  );

  test('stopped on one rank of 4, gone on with 2, ended alone: the same losses', async () => {
    const stop = { rank: 3, step: 1 };
    const [first] = await results(4, 'train', { request: request('moved'), ...stop });
    expect(first).toEqual({ result: { finished: false } });
    const on = { request: request('moved', { resume: true }) };
    const second = await results(2, 'train', { ...on, rank: 0, stage: 'model', step: 3 });
    expect(second).toEqual([{ result: { finished: false } }, { result: { finished: false } }]);
    expect((await train(on.request)).finished).toBe(true);
    expectSame(metricsOf('moved'), metricsOf('one'));
  });

  test('a rank is killed: the other names it, and a resumed run has the bits of one that was not hurt', async () => {
    const [zero] = await results(2, 'killed', { request: request('hurt'), rank: 1, step: 3 });
    expect(zero?.error).toMatch(/rank 1 gives no sign of life/);
    await results(2, 'train', { request: request('hurt', { resume: true }) });
    expect(modelBits('hurt')).toBe(modelBits('two'));
  });

  test('a rank of a divided run is killed in an evaluation: the other names it', async () => {
    const divided = request('hurt-divided', { model: smallModel(), settings: { ...short, shard: true } });
    const [zero] = await results(2, 'killed', { request: divided, rank: 1, step: 2, event: 'evaluating' });
    expect(zero?.error).toMatch(/rank 1 gives no sign of life/);
  });

  test('a divided run stopped on one rank of 4, gone on with 2, ended alone: the same losses', async () => {
    const sharded = { settings: { ...settings, shard: true, keepCheckpoints: true } };
    await results(4, 'train', { request: request('cut', sharded), rank: 3, stage: 'model', step: 1 });
    const checkpoint = (step: number) => join(folder, `cut/checkpoints/model-00000${step}`);
    expect(readdirSync(checkpoint(1)).filter((name) => /^trained-0000\d-of-00004/.test(name))).toHaveLength(4);
    const on = { request: request('cut', { ...sharded, resume: true }) };
    await results(2, 'train', { ...on, rank: 0, stage: 'model', step: 3 });
    expect(readdirSync(checkpoint(3)).filter((name) => /^trained-0000\d-of-00002/.test(name))).toHaveLength(2);
    // PyTorch reads what the ranks wrote.
    for (const name of python ? ['trained', 'optimizer'] : []) {
      const parts = new Parts(checkpoint(3), name);
      const whole = join(folder, `${name}.safetensors`);
      scope(() => writeSafetensors(whole, new Map([...parts.tensors].map(([key, one]) => [key, one.read()]))));
      const args = [fileURLToPath(new URL('../golden/dcp.py', import.meta.url)), checkpoint(3), whole];
      const { tensors } = parts;
      parts.close();
      expect(execFileSync(python!, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })).toBe(
        `${tensors.size} of ${tensors.size} tensors are equal\n`,
      );
    }
    expect((await train(on.request)).finished).toBe(true);
    expectSame(metricsOf('cut'), metricsOf('one'));
  });

  test('a rank with another seed, version of promot or data is refused, and nothing is written', async () => {
    const refused = async (other: object) => {
      const all = await results(2, 'differs', { request: request('differs'), rank: 1, ...other });
      const [first, ...others] = all.map((one) => one?.result);
      expect(others).toEqual([first]);
      return first;
    };
    expect(await refused({ settings: { seed: 5 } })).toBe(
      'the ranks do not agree. setting seed: rank 0 has 0, rank 1 has 5.',
    );
    expect(await refused({ version: '9.8.7' })).toBe(
      `the ranks do not agree. promot: rank 0 has ${version()}, rank 1 has 9.8.7.`,
    );
    // The same task, with one example in another order of words.
    const place = join(folder, 'changed');
    mkdirSync(place);
    for (const name of ['task.yaml', 'train.jsonl', 'validation.jsonl']) cpSync(join(folder, name), join(place, name));
    const data = join(place, 'train.jsonl');
    writeFileSync(data, readFileSync(data, 'utf8').replace('The red river', 'A red river'));
    expect(await refused({ other: { task: join(place, 'task.yaml') } })).toMatch(
      /^the ranks do not agree\. task colours: rank 0 has version \w+, data \w{16}, rank 1 has version \w+, data \w{16}\.$/,
    );
    expect(existsSync(join(folder, 'differs'))).toBe(false);
  });

  test.each([
    ['llama', 2, false],
    ['llama', 3, true],
    ['t5-v1.1', 2, true],
  ] as const)('%s: answers of all kinds, by %i ranks, have the bits of one; divided: %s', async (name, size, shard) => {
    const answersOf = async (count: number, divided: boolean) => {
      const all = await results(count, 'answers', { folder: smallModel(name), shard: divided });
      return all.map(
        (one) => one!.result as { found: object; rows: { ids: number[]; score: number }[]; passes: number },
      );
    };
    const [alone] = await answersOf(1, false);
    for (const { found, rows, passes } of await answersOf(size, shard)) {
      expect(found).toEqual(alone!.found);
      expect(rows.map(({ ids }) => ids)).toEqual(alone!.rows.map(({ ids }) => ids));
      for (const [i, { score }] of rows.entries()) expect(score).toBeCloseTo(alone!.rows[i]!.score, 5);
      // A prefix is read by each rank, and batches do not come out even.
      expect(passes).toBeLessThan(((size + 2) / (3 * size)) * alone!.passes);
    }
  });

  test('evaluates to the same bits, and goes on with the answers that rank 0 has', async () => {
    const { model, out } = request('evaluated');
    const asked = { beams: 2, batchSize: 2, nll: true, split: 'validation' } as const;
    const whole = JSON.parse(JSON.stringify({ result: await evaluateTasks({ ...asked, model, tasks: [task], out }) }));
    expect(whole.result).toMatchObject({ tasks: [{ n: 6 }] });
    const answers = join(folder, 'evaluated-by-two/answers');
    for (const one of await results(2, 'evaluate', { request: request('evaluated-by-two') }))
      expect(one).toEqual(whole);
    // Half of the answers are lost. Found anew in other batches, they are the same but for rounding.
    const [file] = readdirSync(answers);
    const lines = readFileSync(join(answers, file!), 'utf8').trim().split('\n');
    writeFileSync(join(answers, file!), `${lines.slice(0, 4).join('\n')}\n`);
    const outputs = (one: unknown) =>
      (one as { result: TasksResult }).result.tasks[0]!.samples.map(({ output }) => output);
    for (const one of await results(2, 'evaluate', { request: request('evaluated-by-two') }))
      expect(outputs(one)).toEqual(outputs(whole));
    const parts = (all: readonly string[]) => all.map((line) => line.replaceAll(/-?[\d.]+(?=[,}])/g, '#')).sort();
    expect(parts(readFileSync(join(answers, file!), 'utf8').trim().split('\n'))).toEqual(parts(lines));
  });
});

test('passes are handed out whole, balanced by their tokens, each once', () => {
  const pass = (length: number, count: number): MicroBatch => ({
    examples: Array.from({ length: count }, () => ({ input: Array<number>(length).fill(5), target: [1] })),
  });
  const passes = [pass(9, 2), pass(3, 4), pass(19, 1), pass(4, 4), pass(1, 1)];
  expect([0, 1, 2].map((rank) => ownPasses(passes, rank, 3))).toEqual([[0, 1], [2, 4], [3]]);
  const many = [0, 1, 2, 3, 4, 5, 6].map((rank) => ownPasses(passes, rank, 7));
  expect(many.flat().sort()).toEqual([0, 1, 2, 3, 4]);
  expect(many.filter((own) => own.length === 0)).toHaveLength(2);
});

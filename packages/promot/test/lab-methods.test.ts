// Every method, metric and analysis on the shipped lab model, which has something to forget: a few steps each.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { readTrainingRun } from '../../core/src/artifacts/training-run.js';
import { evaluateLoaded } from '../../core/src/evaluation/evaluate-loaded.js';
import { formShare, targetForm } from '../../core/src/evaluation/form.js';
import { interpolate } from '../../core/src/merging/interpolate.js';
import { methods } from '../../core/src/methods/index.js';
import type { LoadedModel } from '../../core/src/models/load.js';
import { tokenizeExample } from '../../core/src/models/tokenize.js';
import { openModel } from '../../core/src/open/open.js';
import { loadTask } from '../../core/src/tasks/registry.js';
import { defaultConfig, resolveConfig } from '../../core/src/training/config.js';
import { scoreKeepList, targetForms } from '../../core/src/training/keep.js';
import { train } from '../../core/src/training/train.js';
import { firstToReach, reachedByAll } from '../src/experiments/equal-target.js';
import '../src/lab/register.js';
import { gradientAlignment } from '../src/experiments/gradient-alignment.js';

vi.setConfig({ testTimeout: 120_000 });

let folder: string;
let lab: LoadedModel;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'promot-lab-'));
  lab = await openModel('lab', 'float32');
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const evaluate = async (loaded: LoadedModel, task: string, limit = 20) =>
  evaluateLoaded(loaded, await loadTask(task), { shots: 1, beams: 1, limit, nll: true });

describe('the pretrained model knows its tasks, by every metric', () => {
  test.each([
    ['lab-reading', 'exact-match', 60],
    ['lab-closed-book', 'exact-match', 95],
    ['lab-translation', 'bleu', 95],
    ['lab-summary', 'rouge-2', 95],
  ])('%s', async (task, metric, least) => {
    const result = await evaluate(lab, task);
    expect(result.metric).toBe(metric);
    expect(result.score).toBeGreaterThanOrEqual(least);
    expect(result.nll!).toBeLessThan(0.5);
  });

  test('and not the form of lab-rte', async () => {
    const result = await evaluate(lab, 'lab-rte');
    expect(result.metric).toBe('accuracy');
    expect(result.score).toBe(0);
    expect(result.nll!).toBeGreaterThan(1);
  });
});

const steps = 8;

/** A few steps of a method on lab-rte; the form is learned within them. */
async function run(method: string): Promise<string> {
  const out = join(folder, method);
  await train({
    model: 'lab-small',
    task: 'lab-rte',
    method,
    out,
    settings: {
      batchSize: 8,
      microBatchSize: 8,
      dropout: 0,
      beams: 1,
      promptLength: 4,
      validationLimit: 4,
      precision: 'fp32',
      loraRank: 2,
      stage1: { steps, keepEvery: steps / 2 },
      stage2: { steps, keepEvery: steps / 2, ...(method === 'lora' ? {} : { learningRate: 0.003 }) },
    },
  });
  return out;
}

describe('every method lowers the loss on lab-rte', () => {
  test.each(methods.names())('%s', async (method) => {
    const { steps: lines, evaluations } = readTrainingRun(await run(method));
    const stages = [...new Set(lines.map(({ stage }) => stage))];
    expect(lines).toHaveLength(steps * stages.length);
    expect(evaluations).toHaveLength(2 * stages.length);
    expect(lines.at(-1)!.loss).toBeLessThan(0.9 * lines[0]!.loss);
  });

  test('what two of them have learned is compared at equal target score, and mixed with what was known', async () => {
    const courses = ['fine-tune', 'promot'].map((method) =>
      readTrainingRun(join(folder, method)).evaluations.filter(({ stage }) => stage === 'model'),
    );
    const score = reachedByAll(courses);
    for (const course of courses) expect(firstToReach(course, score)!.score).toBeGreaterThanOrEqual(score);

    const mixed = join(folder, 'mixed');
    await interpolate({ base: 'lab-small', tuned: join(folder, 'fine-tune'), factor: 0.25, out: mixed });
    const { score: kept } = await evaluate(await openModel(mixed, 'float32'), 'lab-closed-book');
    expect(kept).toBeGreaterThanOrEqual(95);
  });
});

test('before fine-tuning, the gradient on lab-rte is that of its format', async () => {
  const examples = (await (await loadTask('lab-rte')).load('train')).slice(0, 64);
  const tokenized = examples.map((example) => tokenizeExample(example, lab.tokenizer, lab.model.kind));
  const { groups } = await gradientAlignment(lab, tokenized, { seed: 0, batchSize: 32 });
  expect(groups.all!.cosine!).toBeGreaterThan(0.9);
});

test('a translation into another language has not the form of lab-enfr, one into its own has', async () => {
  const [target, other] = await Promise.all(['lab-enfr', 'lab-translation'].map((name) => loadTask(name)));
  const form = await targetForm(target!, [other!]);
  const references = async (task: typeof target) =>
    (await task!.load('validation')).slice(0, 50).map((example) => example.references[0]!);
  expect(formShare(await references(target), form)).toBeGreaterThan(90);
  expect(formShare(await references(other), form)).toBeLessThan(10);
});

test('a keep list counts answers in the language of a translation target, and in tasks with labels none', async () => {
  const [target, ...kept] = await Promise.all(['lab-enfr', 'lab-translation', 'lab-cb'].map((name) => loadTask(name)));
  const forms = await targetForms([target!], kept);
  const config = resolveConfig(defaultConfig('encoder-decoder', false), { keep: { limit: 10 }, beams: 1 });
  const { keep } = await scoreKeepList(lab, kept, config, { forms });
  expect(keep[0]!.formShare).toBe(0);
  expect(keep[0]!.interval.high).toBeGreaterThanOrEqual(keep[0]!.score);
  expect(keep[0]!.nllInterval.low).toBeLessThanOrEqual(keep[0]!.nll);
  expect(keep[1]!.formShare).toBeUndefined();
});

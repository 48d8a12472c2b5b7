// Runs of several tasks, replay, and LoRA in place of the weights: each task has its own prompt, results hold together,
// resumed runs too.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { noGrad, openSafetensors, scope, watchTensors } from '@promot/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { readLoraAdapter } from '../../core/src/adapters/lora-adapter.js';
import { readMetrics } from '../../core/src/artifacts/metrics-file.js';
import { readSamples } from '../../core/src/artifacts/samples-file.js';
import { targetLoss } from '../../core/src/evaluation/evaluate-examples.js';
import { loadFolder } from '../../core/src/models/load.js';
import type { LanguageModel } from '../../core/src/models/model.js';
import { openModel, openPrompt } from '../../core/src/open/open.js';
import { loadTask } from '../../core/src/tasks/registry.js';
import { dryRun } from '../../core/src/training/dry-run.js';
import { type TrainRequest, type TrainResult, train } from '../../core/src/training/train.js';
import { trainThroughKills } from '../../core/test/killed.js';
import '../src/lab/register.js';
import { otherTask, smallModel, smallSettings, smallTask } from '../../core/test/small-task.js';

const { folder, task } = smallTask();
const other = otherTask(folder);
const tasks = [task, other];
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const request = (out: string, more: Partial<TrainRequest> = {}): TrainRequest => ({
  model: smallModel(),
  task,
  method: 'promot',
  out: join(folder, out),
  settings: smallSettings,
  ...more,
});
const hash = (...path: string[]) =>
  createHash('sha256')
    .update(readFileSync(join(folder, ...path)))
    .digest('hex');
const weights = 'adapter_model.safetensors';
const results = (out: string) =>
  [`prompts/colours/${weights}`, `prompts/shades/${weights}`, 'model/model.safetensors'].map((file) => hash(out, file));

interface Line {
  stage: string;
  step: number;
  task?: string;
  loss?: number;
  evalLoss?: number;
  score?: number;
  tasks?: { task: string; metric: string; score: number; evalLoss: number }[];
  asked?: number;
  keepAverage?: number;
}
/** Without what is measured by the clock. */
const metricsOf = (out: string): Line[] =>
  readMetrics(join(folder, out)).map((line) => {
    const { tokensPerSecond, elapsed, remaining, memory, ...rest } = line as Record<string, unknown>;
    return rest as unknown as Line;
  });

/** Mean negative log-likelihood of a task's validation targets, by what a run left on disk. */
async function lossOf(model: string, taskPath: string, prompt?: string): Promise<number> {
  const loaded = await openModel(model, 'float32');
  const softPrompt = prompt === undefined ? undefined : openPrompt(prompt, loaded.model);
  const examples = await (await loadTask(taskPath)).load('validation');
  return targetLoss(loaded, examples, { prompt: softPrompt });
}

describe('two tasks', () => {
  const full = {
    ...smallSettings,
    mixing: { colours: 2, shades: 1 },
    replay: { tasks: ['lab-rte'], share: 0.25 },
    keep: { tasks: ['lab-closed-book'], shots: 0, limit: 2, tolerance: 5 },
    stage1: { steps: 4, keepEvery: 2 },
    stage2: { ...smallSettings.stage2, steps: 4 },
  };
  const asking = async ({ step }: { step: number }) => ({ asked: step });
  let result: TrainResult;

  test('ProMoT tunes a prompt for each, then the model behind both', async () => {
    const left = watchTensors();
    result = await train(request('two', { task: tasks, settings: full, atCheckpoint: asking }));
    expect(left()).toBe(0);
    expect(result.stages.map(({ stage, task: name }) => [stage, name])).toEqual([
      ['prompt', 'colours'],
      ['prompt', 'shades'],
      ['model', undefined],
    ]);
    expect(result.metric).toBe('mean');
    const lines = metricsOf('two');
    const asked = lines.filter(({ asked: step }) => step !== undefined);
    expect(asked.map(({ stage, task: name, step }) => [stage, name, step])).toEqual(
      [['prompt', 'colours'], ['prompt', 'shades'], ['model']].flatMap(([stage, name]) =>
        [0, 2, 4].map((step) => [stage, name, step]),
      ),
    );
    expect(readdirSync(join(folder, 'two/samples')).sort()).toEqual(
      ['model-colours', 'model-shades', 'prompt-colours', 'prompt-shades'].flatMap((name) =>
        [2, 4].map((step) => `${name}-00000${step}.jsonl`),
      ),
    );
  });

  test('the first task’s prompt is that of a run of its own; the prompts differ', async () => {
    await train(request('one', { method: 'prompt-tune', settings: { ...smallSettings, stage1: full.stage1 } }));
    expect(hash('two/prompts/colours', weights)).toBe(hash('one/prompt', weights));
    expect(hash('two/prompts/colours', weights)).not.toBe(hash('two/prompts/shades', weights));
  });

  test('the evaluation is the mean of both, each behind its own prompt', async () => {
    const { best } = result.stages[2]!;
    const line = metricsOf('two').find(
      ({ stage, step, tasks: own }) => stage === 'model' && step === best.step && own,
    )!;
    const [colours, shades] = line.tasks!;
    expect([colours!.task, shades!.task]).toEqual(['colours', 'shades']);
    expect(line.score).toBe((colours!.score + shades!.score) / 2);
    expect(line.evalLoss).toBe((colours!.evalLoss + shades!.evalLoss) / 2);
    expect(best).toMatchObject({ score: line.score, evalLoss: line.evalLoss });
    const run = join(folder, 'two');
    expect(await lossOf(run, task, join(run, 'prompts/colours'))).toBeCloseTo(colours!.evalLoss, 5);
    expect(await lossOf(run, other, join(run, 'prompts/shades'))).toBeCloseTo(shades!.evalLoss, 5);
    expect(await lossOf(run, other, join(run, 'prompts/colours'))).not.toBeCloseTo(shades!.evalLoss, 3);
  });

  test('the run folder alone names no prompt: the message names both', () => {
    const { model } = loadFolder(smallModel(), 'float32');
    expect(() => openPrompt(join(folder, 'two'), model)).toThrow(
      /each of its tasks.*prompts\/colours or .*prompts\/shades/,
    );
  });

  test('killed at random moments: goes on to the same bits, and every line stands once', async () => {
    const register = new URL('../dist/tasks.js', import.meta.url).href;
    const child = { ...request('two-killed', { task: tasks, settings: full, resume: true }), asks: true, register };
    const kills = await trainThroughKills(child, [2, 8, 5, 12]);
    expect(kills.length).toBeGreaterThan(2);
    expect(results('two-killed')).toEqual(results('two'));
    expect(metricsOf('two-killed')).toEqual(metricsOf('two'));
  }, 400_000);

  test('fine-tuning mixes them; in a prompt stage no exemplar stands in front, in the model’s one does', async () => {
    const brief = {
      ...smallSettings,
      shots: 1,
      stage1: { steps: 1, keepEvery: 1 },
      stage2: { steps: 1, keepEvery: 1 },
    };
    await train(request('two-shot', { task: tasks, settings: brief }));
    const inputs = (name: string) =>
      readSamples(join(folder, `two-shot/samples/${name}-000001.jsonl`)).map(({ input }) => input);
    for (const input of inputs('prompt-shades')) expect(input).not.toContain('\n\n');
    for (const input of inputs('model-shades')) expect(input).toMatch(/answer: (Yes|No)\n\nSomebody said/);
    const plain = await train(request('two-plain', { task: tasks, method: 'fine-tune', settings: brief }));
    expect(plain.stages.map(({ stage }) => stage)).toEqual(['model']);
    expect(existsSync(join(folder, 'two-plain/prompts'))).toBe(false);
    expect(() => openPrompt(join(folder, 'two-plain'), loadFolder(smallModel(), 'float32').model)).toThrow(
      /no soft prompt/,
    );
  });

  test('the dry run tells of every part', async () => {
    const found = await dryRun(request('never', { task: tasks, settings: full }));
    expect(found).toMatchObject({ trainExamples: 40, validationExamples: 12 });
    expect(found.examples.map((example) => example.task)).toEqual(['colours', 'shades']);
    expect(found.stages.map(({ stage, task: name }) => [stage, name])).toEqual(
      result.stages.map(({ stage, task: name }) => [stage, name]),
    );
    expect(existsSync(join(folder, 'never'))).toBe(false);
  });

  test.each<[string, Partial<TrainRequest>, RegExp]>([
    ['a task twice', { task: [task, task] }, /task colours is named twice/],
    ['rates of other tasks', { settings: { ...smallSettings, mixing: { colours: 1, rte: 1 } } }, /no task rte/],
    ['no task', { task: [] }, /no task/],
  ])('%s is refused before anything is written', async (_name, more, message) => {
    await expect(train(request('refused', { task: tasks, ...more }))).rejects.toThrow(message);
    expect(existsSync(join(folder, 'refused'))).toBe(false);
  });
});

describe('replay', () => {
  test('changes what trains the model, and nothing of the prompt’s stage', async () => {
    const brief = {
      ...smallSettings,
      stage1: { steps: 2, keepEvery: 2 },
      stage2: { ...smallSettings.stage2, steps: 2 },
    };
    await train(request('plain', { settings: brief }));
    await train(request('replay', { settings: { ...brief, replay: { tasks: [other], share: 0.5 } } }));
    expect(hash('replay/prompt', weights)).toBe(hash('plain/prompt', weights));
    expect(hash('replay/model/model.safetensors')).not.toBe(hash('plain/model/model.safetensors'));
  });
});

describe('LoRA in place of the weights (stage2.loraRank)', () => {
  const settings = { ...smallSettings, stage2: { ...smallSettings.stage2, steps: 4, loraRank: 2, optimizer: 'adamw' } };
  const base = () => loadFolder(smallModel(), 'float32').model;
  const examples = [{ input: [5, 6, 7, 1], target: [8, 1] }];
  const logits = (model: LanguageModel) => scope(() => noGrad(() => model.logits(examples)).toNumbers());
  const furthest = (a: number[], b: number[]) => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));

  test('promot: additions to all linear layers train, the model holds them, the checkpoint no more', async () => {
    const left = watchTensors();
    const { stages } = await train(request('promot-lora', { settings }));
    expect(left()).toBe(0);
    const { best } = stages[1]!;
    const file = openSafetensors(
      join(folder, `promot-lora/checkpoints/model-${String(best.step).padStart(6, '0')}/trained.safetensors`),
    );
    const model = base();
    expect([...file.entries.keys()].toSorted()).toEqual(
      [...model.linears.keys()].flatMap((name) => [`${name}.lora_A.weight`, `${name}.lora_B.weight`]).toSorted(),
    );
    file.close();
    const merged = (await openModel(join(folder, 'promot-lora'), 'float32')).model;
    expect(furthest(logits(merged), logits(model))).toBeGreaterThan(1e-3);
    readLoraAdapter(join(folder, 'promot-lora/lora'), model);
    expect(furthest(logits(merged), logits(model))).toBeLessThan(1e-4);
    // The prompt is still what stands in front.
    const run = join(folder, 'promot-lora');
    expect(await lossOf(run, task, run)).toBeCloseTo(best.evalLoss, 4);
  });

  test('stopped, it goes on to the same bits', async () => {
    const abort = new AbortController();
    const onEvent = (event: { type: string; stage?: string; step?: number }) => {
      if (event.type === 'step' && event.stage === 'model' && event.step === 3) abort.abort();
    };
    await train(request('lora-stopped', { settings, signal: abort.signal, onEvent }));
    await train(request('lora-stopped', { settings, resume: true }));
    for (const file of [`prompt/${weights}`, `lora/${weights}`, 'model/model.safetensors'])
      expect(hash('lora-stopped', file)).toBe(hash('promot-lora', file));
    expect(metricsOf('lora-stopped')).toEqual(metricsOf('promot-lora'));
  });

  test('lora-first: the first stage’s stays removable, the second’s is merged', async () => {
    const stage1 = { ...smallSettings.stage1, learningRate: 0.05 };
    const { stages } = await train(request('lora-twice', { method: 'lora-first', settings: { ...settings, stage1 } }));
    const first = openSafetensors(
      join(folder, `lora-twice/checkpoints/lora-${String(stages[0]!.best.step).padStart(6, '0')}/trained.safetensors`),
    );
    const kept = openSafetensors(join(folder, 'lora-twice/lora', weights));
    scope(() => {
      expect(kept.entries.size).toBe(first.entries.size);
      for (const name of first.entries.keys())
        expect(kept.tensor(`base_model.model.${name}`).equal(first.tensor(name))).toBe(true);
    });
    const run = join(folder, 'lora-twice');
    const withFirst = await lossOf(run, task, run);
    expect(withFirst).toBeCloseTo(stages[1]!.best.evalLoss, 4);
    expect(await lossOf(run, task)).not.toBeCloseTo(withFirst, 3);
  });
});

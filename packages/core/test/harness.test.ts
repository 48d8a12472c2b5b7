// Multiple choice by likelihood beside lm-evaluation-harness: golden/harness.py.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { folderSource } from '../src/data/source.js';
import { evaluateLoaded, type TaskResult } from '../src/evaluation/evaluate-loaded.js';
import { type LoadedModel, loadFolder } from '../src/models/load.js';
import { openModel } from '../src/open/open.js';
import { harnessTasks } from '../src/tasks/harness/index.js';
import { createTask } from '../src/tasks/task.js';

interface Golden {
  readonly scores?: Readonly<Record<string, number>>;
  readonly logprobs: readonly (readonly number[])[];
  readonly greedy: readonly (readonly boolean[])[];
  readonly context?: string;
}
type GoldenTasks = Readonly<Record<string, Golden>>;

const golden = fileURLToPath(new URL('../golden', import.meta.url));
const read = (name: string) => JSON.parse(readFileSync(join(golden, name), 'utf8')) as unknown;
const { models } = read('harness/expected.json') as { models: Readonly<Record<string, GoldenTasks>> };
const folderName = (name: string) => name.replaceAll('-', '_');

function check(result: TaskResult, expected: Golden, digits: number): void {
  expect(result.samples).toHaveLength(expected.logprobs.length);
  for (const [i, { choices }] of result.samples.entries()) {
    expect(choices).toHaveLength(expected.logprobs[i]!.length);
    for (const [c, choice] of choices!.entries()) expect(choice.logprob).toBeCloseTo(expected.logprobs[i]![c]!, digits);
  }
  expect(result.samples.map(({ choices }) => choices!.map(({ greedy }) => greedy))).toEqual(expected.greedy);
  for (const { metric, score } of result.metrics ?? [result]) {
    if (expected.scores === undefined) continue;
    const right = expected.scores[metric]!;
    expect(Math.abs(score - right), metric).toBeLessThan(1e-4 * Math.max(1, right));
  }
}

describe.each(Object.keys(models))('%s', (name) => {
  test.each(harnessTasks)('$name', async (definition) => {
    const loaded = await loadFolder(join(golden, 'models', name), 'float32');
    try {
      const folder = folderName(definition.name);
      const task = createTask(definition, await folderSource(join(golden, 'harness', folder)));
      const expected = models[name]![folder]!;
      const [first] = await task.load(task.evaluationSplit);
      expect(first!.choices!.choices[0]!.context).toBe(expected.context);
      check(await evaluateLoaded(loaded, task), expected, 3);
      // One at a time gives the same as many together.
      check(await evaluateLoaded(loaded, task, { batchSize: 1 }), expected, 3);
    } finally {
      loaded.dispose();
    }
  });
});

const { model, rows, tasks } = read('harness-real.json') as { model: string; rows: number; tasks: GoldenTasks };
const data = fileURLToPath(new URL('../../../../shared/data', import.meta.url));
const file = join(process.env.PROMOT_TEST_MODELS ?? 'none', model);

describe.skipIf(!existsSync(file) || !existsSync(data))(`${model} on real data`, () => {
  let loaded: LoadedModel;
  beforeAll(async () => {
    loaded = await openModel(file, 'float32');
  }, 600_000);
  afterAll(() => loaded.dispose());

  test.each(harnessTasks)('$name', { timeout: 1_200_000 }, async (definition) => {
    const folder = folderName(definition.name);
    const task = createTask(definition, await folderSource(join(data, folder)));
    check(await evaluateLoaded(loaded, task, { limit: rows }), tasks[folder]!, 2);
  });
});

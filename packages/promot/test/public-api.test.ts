// The public interface: its types, and that a name means one thing wherever it is exported.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Tensor } from '@promot/torch';
import type { errorCodes } from '@promot/torch/errors';
import { describe, expect, expectTypeOf, test } from 'vitest';
import * as promot from '../src/index.js';

const exportsOf = (name: string) =>
  Object.keys(
    JSON.parse(readFileSync(fileURLToPath(new URL(`../../${name}/package.json`, import.meta.url)), 'utf8')).exports,
  ) as string[];

test('a name means the same in every entry', async () => {
  const found = new Map<string, { entry: string; value: unknown }>();
  const two: string[] = [];
  const entries = [
    ...exportsOf('torch').map((entry) => `@promot/torch${entry.slice(1)}`),
    ...exportsOf('core').map((entry) => `@promot/core${entry.slice(1)}`),
    ...exportsOf('promot').map((entry) => `../src/${entry === '.' ? 'index' : entry.slice(2)}.js`),
  ];
  for (const entry of entries)
    for (const [name, value] of Object.entries((await import(entry)) as object)) {
      const before = found.get(name);
      if (before && before.value !== value) two.push(`${name}: ${before.entry} and ${entry}`);
      found.set(name, { entry, value });
    }
  expect(two).toEqual([]);
  expect(found.size).toBeGreaterThan(100);
});

test('what the documentation names is there', () => {
  const named = ['train', 'dryRun', 'evaluateTasks', 'compareResults', 'interpolate', 'mergeLora', 'makeReport'];
  const more = ['generateTexts', 'scoreText', 'openModel', 'openPrompt', 'pretrainLab', 'quickstart', 'reproduce'];
  for (const name of [...named, ...more]) expect(promot, name).toHaveProperty(name);
});

describe('types', () => {
  test('training takes a request and gives a result', () => {
    expectTypeOf(promot.train).parameter(0).toExtend<{ model: string; method: string; out: string }>();
    expectTypeOf(promot.train).returns.resolves.toHaveProperty('finished').toEqualTypeOf<boolean>();
    expectTypeOf<Parameters<NonNullable<promot.TrainRequest['onEvent']>>[0]>().toHaveProperty('type');
  });

  test('a loaded model can be disposed', () => {
    expectTypeOf(promot.openModel).returns.resolves.toEqualTypeOf<promot.LoadedModel>();
    expectTypeOf<promot.LoadedModel>().toExtend<Disposable>();
  });

  test('generation gives a text an input; a prompt is a tensor', () => {
    expectTypeOf(promot.generateTexts).returns.resolves.toEqualTypeOf<string[]>();
    expectTypeOf<promot.GenerateOptions['prompt']>().toEqualTypeOf<Tensor | undefined>();
  });

  test('an evaluation is of one task, of several, of a loaded model, or of given examples', () => {
    expectTypeOf(promot.evaluate).parameter(0).toExtend<{ readonly model: string; readonly task: string }>();
    expectTypeOf(promot.evaluate).returns.resolves.toEqualTypeOf<promot.TaskResult>();
    expectTypeOf(promot.evaluateTasks).parameter(0).toExtend<{ readonly tasks: readonly string[] }>();
    expectTypeOf(promot.evaluateTasks).returns.resolves.toEqualTypeOf<promot.TasksResult>();
    expectTypeOf(promot.evaluateLoaded).parameter(0).toEqualTypeOf<promot.LoadedModel>();
    expectTypeOf(promot.evaluateExamples).returns.resolves.toEqualTypeOf<promot.Evaluation>();
  });

  test('long work has one observer of one union of events', () => {
    type Observer = NonNullable<promot.TrainRequest['onEvent']>;
    expectTypeOf<Observer>().toEqualTypeOf<(event: promot.WorkEvent) => void>();
    expectTypeOf<NonNullable<promot.EvaluateTasksRequest['onEvent']>>().toEqualTypeOf<Observer>();
    expectTypeOf<NonNullable<promot.HubOptions['onEvent']>>().toEqualTypeOf<Observer>();
    expectTypeOf<NonNullable<promot.SweepRequest['onEvent']>>().toEqualTypeOf<Observer>();
    expectTypeOf<NonNullable<promot.TaskOptions['onEvent']>>().toEqualTypeOf<Observer>();
    expectTypeOf<NonNullable<promot.TextOptions['onEvent']>>().toEqualTypeOf<Observer>();
    expectTypeOf<NonNullable<promot.InterpolateRequest['onEvent']>>().toEqualTypeOf<Observer>();
    expectTypeOf<NonNullable<promot.GradientAlignmentOptions['onEvent']>>().toEqualTypeOf<Observer>();
  });

  test('what is added is an object with all that promot asks of it', () => {
    type Needed<T> = { [K in keyof T]-?: undefined extends T[K] ? never : K }[keyof T];
    expectTypeOf<Needed<promot.Metric>>().toEqualTypeOf<
      'name' | 'settings' | 'needs' | 'answerTokens' | 'compute' | 'signature'
    >();
    expectTypeOf<Needed<promot.Stage>>().toEqualTypeOf<'name' | 'settings' | 'trains'>();
    expectTypeOf(promot.registerMetric).parameter(0).toExtend<promot.Metric>();
    expectTypeOf(promot.registerMethod).parameter(0).toEqualTypeOf<promot.Method>();
    expectTypeOf(promot.registerTask).parameter(0).toEqualTypeOf<promot.TaskDefinition>();
    expectTypeOf(promot.registerObjective).parameter(0).toEqualTypeOf<promot.Objective>();
  });

  test('an error has a code of the table', () => {
    expectTypeOf<promot.UserError['code']>().toEqualTypeOf<keyof typeof errorCodes>();
  });

  test('nothing public is any', () => {
    expectTypeOf<promot.TrainRequest>().not.toBeAny();
    expectTypeOf<promot.TrainResult>().not.toBeAny();
    expectTypeOf<promot.Task>().not.toBeAny();
    expectTypeOf<promot.Method>().not.toBeAny();
    expectTypeOf<promot.LanguageModel>().not.toBeAny();
    expectTypeOf<promot.ConfigInput[string]>().toBeUnknown();
  });
});

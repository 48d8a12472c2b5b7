// The public interface: its types, and that a name means one thing wherever it is exported.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Tensor } from '@promot/torch';
import { describe, expect, expectTypeOf, test } from 'vitest';
import * as promot from '../src/index.js';

const exportsOf = (name: string) =>
  Object.keys(
    JSON.parse(readFileSync(fileURLToPath(new URL(`../../${name}/package.json`, import.meta.url)), 'utf8')).exports,
  ) as string[];

test('a name means the same in every entry', async () => {
  const found = new Map<string, { entry: string; value: unknown }>();
  const two: string[] = [];
  for (const entry of exportsOf('core')) {
    const path = `@promot/core${entry.slice(1)}`;
    for (const [name, value] of Object.entries((await import(path)) as object)) {
      const before = found.get(name);
      if (before && before.value !== value) two.push(`${name}: ${before.entry} and ${path}`);
      found.set(name, { entry: path, value });
    }
  }
  for (const [name, value] of Object.entries(promot)) {
    const before = found.get(name);
    if (before && before.value !== value) two.push(`${name}: ${before.entry} and promot`);
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

  test('nothing public is any', () => {
    expectTypeOf<promot.TrainRequest>().not.toBeAny();
    expectTypeOf<promot.TrainResult>().not.toBeAny();
    expectTypeOf<promot.Task>().not.toBeAny();
    expectTypeOf<promot.Method>().not.toBeAny();
    expectTypeOf<promot.LanguageModel>().not.toBeAny();
    expectTypeOf<promot.ConfigInput[string]>().toBeUnknown();
  });
});

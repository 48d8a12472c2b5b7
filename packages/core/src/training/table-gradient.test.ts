// The table's gradient, once a step, against autograd's, once a pass.
import { fileURLToPath } from 'node:url';
import { noGrad, scope, type Tensor, watchTensors } from '@promot/torch';
import { describe, expect, test } from 'vitest';
import { loadFolder } from '../models/load.js';
import { type LanguageModel, predictedIds, type TokenizedExample } from '../models/model.js';
import { idTensor } from '../models/padding.js';
import { sumOfLosses } from './objectives/index.js';
import { TableGradient } from './table-gradient.js';

const golden = (name: string) => fileURLToPath(new URL(`../../golden/models/${name}`, import.meta.url));
const passes: TokenizedExample[][] = [
  [
    { input: [5, 6, 7, 5, 1], target: [8, 9, 1] },
    { input: [11, 5, 1], target: [8, 1] },
  ],
  [{ input: [9, 9, 12, 1], target: [30, 5, 1] }],
];

/** Gradients of all parameters over the passes, by name. */
function gradients(model: LanguageModel, table: TableGradient | undefined): Map<string, number[]> {
  for (const parameter of model.parameters.values()) parameter.requiresGrad = true;
  for (const examples of passes) {
    const work = () =>
      scope(() => {
        const logits = model.logits(examples);
        const targets = idTensor(examples.flatMap(predictedIds));
        sumOfLosses(logits, targets, { labelSmoothing: 0.1, zLoss: 0 }).backward();
      });
    if (table) table.pass(work);
    else work();
  }
  table?.finish();
  const found = new Map<string, number[]>();
  for (const [name, parameter] of model.parameters) {
    found.set(
      name,
      scope(() => (parameter.grad as Tensor).toNumbers()),
    );
    parameter.clearGrad();
    parameter.requiresGrad = false;
  }
  return found;
}

describe.each(['t5-v1.0', 't5-v1.1', 'llama', 'qwen2'])('%s', (name) => {
  test('every parameter has the gradient that it has by autograd; no tensor is left behind', () => {
    const { model, dispose } = loadFolder(golden(name), 'float32');
    const left = watchTensors();
    const plain = gradients(model, undefined);
    const table = TableGradient.of(model, model.parameters.values(), 1);
    expect(table).toBeDefined();
    const once = gradients(model, table);
    expect(left()).toBe(0);
    for (const [key, values] of plain) {
      const other = once.get(key)!;
      const largest = Math.max(...values.map(Math.abs));
      expect(largest).toBeGreaterThan(0);
      values.forEach((value, i) => {
        if (Math.abs(value - other[i]!) > 1e-5 * largest) expect([key, i, other[i]]).toEqual([key, i, value]);
      });
    }
    // The model is as it was.
    const logits = scope(() => noGrad(() => model.logits(passes[0]!)).toNumbers());
    expect(logits.every(Number.isFinite)).toBe(true);
    dispose();
  });
});

test('a small table, and one that is not trained, are left to autograd', () => {
  const { model, dispose } = loadFolder(golden('llama'), 'float32');
  expect(TableGradient.of(model, model.parameters.values())).toBeUndefined();
  expect(TableGradient.of(model, [], 1)).toBeUndefined();
  dispose();
});

test('an error in a pass leaves the layers as they were and nothing behind', () => {
  const { model, dispose } = loadFolder(golden('llama'), 'float32');
  const left = watchTensors();
  const table = TableGradient.of(model, model.parameters.values(), 1)!;
  for (const parameter of model.parameters.values()) parameter.requiresGrad = true;
  const work = () =>
    scope(() => {
      model.logits(passes[0]!);
      throw new Error('broken');
    });
  expect(() => table.pass(work)).toThrow('broken');
  table.finish();
  expect(model.embed.instead).toBeUndefined();
  expect(model.head.instead).toBeUndefined();
  expect(left()).toBe(0);
  dispose();
});

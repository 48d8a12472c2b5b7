// The loss a few tokens at a time, against that of all tokens at once.
import { fileURLToPath } from 'node:url';
import { scope, type Tensor, watchTensors } from '@promot/torch';
import { expect, test } from 'vitest';
import { loadFolder } from '../models/load.js';
import { predictedIds } from '../models/model.js';
import { idTensor } from '../models/padding.js';
import { blockwise } from './blockwise.js';
import { objectives } from './objectives/index.js';
import { backwardInPieces, tokensOfPiece } from './pieces.js';
import { TableGradient } from './table-gradient.js';

const golden = (name: string) => fileURLToPath(new URL(`../../golden/models/${name}`, import.meta.url));
const examples = [
  { input: [5, 6, 7, 5, 1], target: [8, 9, 1] },
  { input: [11, 5, 1], target: [8, 1] },
  { input: [9, 9, 12, 1], target: [30, 5, 1] },
];
const options = { labelSmoothing: 0.1, zLoss: 1e-3 };

test.each([
  ['llama', 'cross-entropy'],
  ['gemma3_text', 'cross-entropy'],
  ['gemma2', 'eaft'],
  ['t5-v1.1', 'dft'],
  ['t5gemma2', 'cross-entropy'],
])('%s, %s: the loss and all gradients are the same, and no tensor is left', (name, loss) => {
  const { model, dispose } = loadFolder(golden(name), 'float32');
  const objective = objectives.get(loss);
  expect(objective.ofLogitsAlone).toBe(true);
  const left = watchTensors();
  for (const parameter of model.parameters.values()) parameter.requiresGrad = true;
  /** By at most this many tokens at a time; with the table's gradient made by itself or by autograd. */
  const compute = (tokens: number, own: boolean) => {
    const table = own ? TableGradient.of(model, model.parameters.values(), 0, 100) : undefined;
    const lossOf = (logits: Tensor, targets: Tensor) =>
      objective.loss({ model, examples: [], logits, targets }, options);
    const work = () =>
      blockwise(model, undefined, { recompute: false }, () => {
        const states = model.states(examples);
        if (tokens < states.size(0))
          return backwardInPieces(model, states, examples, tokens, lossOf, () => table?.collectLogits());
        return lossOf(model.toLogits(states), idTensor(examples.flatMap(predictedIds)));
      });
    const value = scope(() => (table ? table.pass(work) : work()).item());
    table?.finish();
    const gradients = [...model.parameters.values()].map((parameter) => {
      const found = scope(() => parameter.grad?.toNumbers() ?? []);
      parameter.clearGrad();
      return found;
    });
    return { value, gradients };
  };
  const whole = compute(100, false);
  for (const [tokens, own] of [
    [3, false],
    [1, true],
  ] as const) {
    const { value, gradients } = compute(tokens, own);
    expect(value).toBeCloseTo(whole.value, 4);
    gradients.forEach((gradient, i) => {
      const apart = gradient.map((x, j) => Math.abs(x - whole.gradients[i]![j]!));
      expect(Math.max(0, ...apart), `${[...model.parameters.keys()][i]} at ${tokens}`).toBeLessThan(1e-4);
    });
  }
  expect(whole.gradients.flat().some((x) => Math.abs(x) > 0.01)).toBe(true);
  expect(left()).toBe(0);
  dispose();
});

test('a piece has as many tokens as the logits leave room for, and one at least', () => {
  expect(tokensOfPiece(262_144)).toBe(256);
  expect(tokensOfPiece(100, 1000)).toBe(10);
  expect(tokensOfPiece(1000, 10)).toBe(1);
});

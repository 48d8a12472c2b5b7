// The objectives against their formulas, written out number by number; and where their gradients go.
import { noGrad, scope, type Tensor, tensor } from '@promot/torch';
import { describe, expect, test } from 'vitest';
import { RandomStream } from '../../base/random.js';
import { crossEntropy } from './cross-entropy.js';
import { dft } from './dft.js';
import { eaft, entropyGate } from './eaft.js';
import { objectives, type Pass, registerObjective, sumOfDivergences } from './index.js';

const plain = { labelSmoothing: 0, zLoss: 0 };
const [rows, columns] = [5, 32];

function draw(seed: number, scale = 3): number[][] {
  const random = new RandomStream(seed);
  return Array.from({ length: rows }, () =>
    Array.from({ length: columns }, () => scale * (random.next() / 2 ** 31 - 1)),
  );
}
const targets = [3, 0, 31, 7, 7];
const softmax = (row: readonly number[]) => {
  const exps = row.map(Math.exp);
  const sum = exps.reduce((a, b) => a + b);
  return exps.map((e) => e / sum);
};
const nll = (row: readonly number[], target: number) => -Math.log(softmax(row)[target]!);
/** Of the 20 likeliest, made to sum to 1. */
const gate = (row: readonly number[]) => {
  const p = softmax(row.toSorted((a, b) => b - a).slice(0, 20));
  return -p.reduce((sum, one) => sum + one * Math.log(one), 0) / Math.log(20);
};

const passOf = (logits: Tensor) =>
  ({ logits, targets: tensor(targets, { dtype: 'int64' }), examples: [] }) as unknown as Pass;

/** A loss and its gradient in the logits. */
function lossOf(numbers: number[][], loss: (logits: Tensor) => Tensor): { value: number; gradient: number[][] } {
  return scope(() => {
    const logits = tensor(numbers.flat(), { shape: [rows, columns] });
    logits.requiresGrad = true;
    const value = loss(logits);
    value.backward();
    const flat = logits.grad!.toNumbers();
    return { value: value.item(), gradient: numbers.map((_, i) => flat.slice(i * columns, (i + 1) * columns)) };
  });
}

function expectClose(found: readonly number[], wanted: readonly number[]): void {
  expect(found.length).toBe(wanted.length);
  for (const [i, x] of found.entries())
    expect(Math.abs(x - wanted[i]!), `${i}: ${x} is not ${wanted[i]}`).toBeLessThan(2e-5);
}
/** The gradient of a token's cross-entropy, by the formula softmax - one-hot. */
const slope = (row: readonly number[], target: number) => softmax(row).map((p, v) => p - (v === target ? 1 : 0));

describe('each token counts', () => {
  const numbers = draw(1);
  test.each<[string, typeof eaft, (row: readonly number[], target: number) => number]>([
    ['cross-entropy: as every other', crossEntropy, () => 1],
    ['eaft: by the entropy of the 20 likeliest, over ln 20', eaft, gate],
    ['dft: by its own probability', dft, (row, target) => softmax(row)[target]!],
  ])('%s; the weight has no gradient of its own', (_name, objective, weight) => {
    const { value, gradient } = lossOf(numbers, (logits) => objective.loss(passOf(logits), plain));
    const weights = numbers.map((row, i) => weight(row, targets[i]!));
    const wanted = numbers.reduce((sum, row, i) => sum + weights[i]! * nll(row, targets[i]!), 0);
    expectClose([value / wanted], [1]);
    for (const [i, row] of numbers.entries())
      expectClose(
        gradient[i]!,
        slope(row, targets[i]!).map((g) => weights[i]! * g),
      );
  });
});

test('the gate is 1 where the model knows nothing, near 0 where it is sure, also in a vocabulary below 20', () => {
  scope(() => {
    const flat = tensor(Array<number>(64).fill(0.5), { shape: [2, 32] });
    expectClose(noGrad(() => entropyGate(flat)).toNumbers(), [1, 1]);
    const sure = tensor([50, ...Array<number>(31).fill(0)], { shape: [1, 32] });
    expect(entropyGate(sure).item()).toBeLessThan(1e-6);
    const few = tensor([1, 1, 1], { shape: [1, 3] });
    expectClose(entropyGate(few).toNumbers(), [1]);
  });
});

describe('KL(base || tuned)', () => {
  const [base, tuned] = [draw(2), draw(3)];
  const ofBase = () => tensor(base.flat(), { shape: [rows, columns] });

  test('is sum p (ln p - ln q), and its gradient q - p', () => {
    const { value, gradient } = lossOf(tuned, (logits) => sumOfDivergences(ofBase(), logits));
    const wanted = base.reduce((sum, row, i) => {
      const [p, q] = [softmax(row), softmax(tuned[i]!)];
      return sum + p.reduce((inner, one, v) => inner + one * Math.log(one / q[v]!), 0);
    }, 0);
    expectClose([value / wanted], [1]);
    for (const [i, row] of tuned.entries()) {
      const p = softmax(base[i]!);
      expectClose(
        gradient[i]!,
        softmax(row).map((q, v) => q - p[v]!),
      );
    }
  });

  test('is 0 between equals', () => {
    expect(Math.abs(lossOf(base, (logits) => sumOfDivergences(ofBase(), logits)).value)).toBeLessThan(1e-5);
  });
});

test('an objective of one’s own is found by its name; a name is given once', () => {
  const own = { ...crossEntropy, name: 'own' };
  registerObjective(own);
  expect(objectives.get('own')).toBe(own);
  expect(() => registerObjective({ ...crossEntropy, name: 'dft' })).toThrow(/an? objective "dft" already/);
  expect(() => objectives.get('eatf')).toThrow(/unknown objective "eatf" \(did you mean "eaft"/);
});

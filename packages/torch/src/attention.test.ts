// Attention in bf16 on a CPU goes another way than in fp32, which is the fused kernel's: both against the formula.
import { describe, expect, test } from 'vitest';
import { dropout, grad, ones, op, randn, scaledDotProductAttention, type Tensor, tril, zeros } from './index.js';

const [B, H, T, S, D] = [2, 3, 5, 5, 16];
const inputs = () => [randn([B, H, T, D], 1), randn([B, H, S, D], 2), randn([B, H, S, D], 3)] as const;
const allowed = () => tril(ones([T, S], 'bool'), 1);

function byHand(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, scale = D ** -0.5): Tensor {
  return q.matmul(k.transpose(2, 3)).mul(scale).add(bias).softmax(-1).matmul(v);
}
const blocked = (mask: Tensor) => zeros([T, S]).maskedFill(mask.logicalNot(), Number.NEGATIVE_INFINITY);

const learnable = (x: Tensor) => {
  x.requiresGrad = true;
  return x;
};
const largest = (a: Tensor, b: Tensor) => a.float().sub(b).abs().amax().item();

describe.each([
  ['float32', 1e-5],
  // Seven bits of fraction in scores, weights and values.
  ['bfloat16', 0.03],
] as const)('%s', (dtype, tolerance) => {
  const cases: [string, (q: Tensor, k: Tensor, v: Tensor) => Tensor, () => Tensor, number?][] = [
    ['no mask', (q, k, v) => scaledDotProductAttention(q, k, v), () => zeros([1])],
    [
      'causal',
      (q, k, v) => scaledDotProductAttention(q, k, v, { causal: true }),
      () => blocked(tril(ones([T, S], 'bool'))),
    ],
    [
      'true where allowed',
      (q, k, v) => scaledDotProductAttention(q, k, v, { mask: allowed() }),
      () => blocked(allowed()),
    ],
    [
      'numbers to add, and a scale',
      (q, k, v) => scaledDotProductAttention(q, k, v, { mask: randn([1, H, T, S], 4).to(dtype), scale: 0.5 }),
      () => randn([1, H, T, S], 4),
      0.5,
    ],
  ];
  test.each(cases)('%s: values and gradients', (_, attend, bias, scale) => {
    const wide = inputs().map(learnable);
    const expected = byHand(...(wide as [Tensor, Tensor, Tensor]), bias(), scale);
    const narrow = inputs().map((x) => learnable(x.to(dtype).clone()));
    const found = attend(...(narrow as [Tensor, Tensor, Tensor]));
    expect(found.dtype).toBe(dtype);
    expect(largest(found, expected)).toBeLessThan(tolerance);
    const weight = randn([B, H, T, D], 5);
    const gradients = grad([found.mul(weight.to(dtype)).sum()], narrow);
    grad([expected.mul(weight).sum()], wide).forEach((one, i) => {
      expect(largest(gradients[i]!, one!)).toBeLessThan(3 * tolerance);
    });
  });

  test('dropout falls on the weights', () => {
    const [q, k, v] = inputs().map((x) => x.to(dtype)) as [Tensor, Tensor, Tensor];
    const [rate, seed] = [0.4, 6];
    const weights = q
      .float()
      .matmul(k.float().transpose(2, 3))
      .mul(D ** -0.5)
      .softmax(-1);
    const wanted = dropout(weights, rate, seed).matmul(v.float());
    const found = scaledDotProductAttention(q, k, v, { dropout: { rate, seed } });
    expect(largest(found, wanted)).toBeLessThan(2 * tolerance);
  });

  // What a GPU does within its kernel.
  test("libtorch's own dropout: a function of the seed, the same backward, and as much as the rate says", () => {
    const [q, k] = inputs().map((x) => x.to(dtype)) as [Tensor, Tensor, Tensor];
    const one = learnable(ones([B, H, S, D], dtype));
    const attend = (seed: number) => op('promot::attention', q, k, one, null, 0.25, false, null, seed);
    const [found, again, other] = [attend(3), attend(3), attend(4)] as [Tensor, Tensor, Tensor];
    expect(found.equal(again)).toBe(true);
    expect(found.equal(other)).toBe(false);
    // Of ones each output is the sum of what is left of the weights: 1, on average.
    const sums = Array.from({ length: 40 }, (_, seed) => attend(seed).float().mean().item());
    expect(sums.reduce((sum, x) => sum + x, 0) / 40).toBeCloseTo(1, 1);
    const [gradient] = grad([found.sum()], [one]);
    expect(Math.abs(gradient!.float().sum().item() / found.float().sum().item() - 1)).toBeLessThan(tolerance);
  });
});

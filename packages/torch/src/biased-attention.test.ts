// The kernel of attention with a bias and dropout against the formula in float64, in value and gradient.
import { describe, expect, test } from 'vitest';
import { expectSameBits } from '../test/threads.js';
import { call, dropout, grad, ones, op, randn, scaledDotProductAttention, scope, type Tensor, zeros } from './index.js';

const scale = 0.3;

interface Shape {
  B: number;
  H: number;
  T: number;
  S: number;
  D: number;
  /** Of the bias. */
  bias: readonly number[];
}

/** Query, key and value that lie as [B, places, H, D], as a linear layer gives them, and the bias. */
function made({ B, H, T, S, D, bias }: Shape): [Tensor, Tensor, Tensor, Tensor] {
  const rows = (places: number, seed: number) => randn([B, places, H, D], seed).transpose(1, 2);
  const inputs = [rows(T, 1), rows(S, 2), rows(S, 3), randn([...bias], 4)] as [Tensor, Tensor, Tensor, Tensor];
  for (const input of inputs) input.requiresGrad = true;
  return inputs;
}

function byHand([q, k, v, bias]: readonly Tensor[], kept: Tensor): Tensor {
  const [query, key, value, added] = [q!, k!, v!, bias!].map((x) => x.to('float64')) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  const weights = query.matmul(key.transpose(2, 3)).mul(scale).add(added).softmax(-1);
  return weights.mul(kept.to('float64')).matmul(value);
}

const apart = (a: Tensor, b: Tensor) => a.to('float64').sub(b).abs().amax().item() / (1e-6 + b.abs().amax().item());

describe.runIf(scope(() => call('promot::biased_attention_takes', zeros([1, 1, 1, 8]))))('biased attention', () => {
  const shapes: [string, Shape][] = [
    ['a bias of each weight', { B: 2, H: 3, T: 5, S: 7, D: 16, bias: [2, 3, 5, 7] }],
    ['one bias for all sequences', { B: 3, H: 2, T: 9, S: 9, D: 8, bias: [1, 2, 9, 9] }],
    ['a bias of the keys, more queries than a block has', { B: 2, H: 2, T: 100, S: 33, D: 24, bias: [2, 1, 1, 33] }],
    ['few queries, many keys', { B: 2, H: 4, T: 3, S: 130, D: 64, bias: [2, 1, 1, 130] }],
  ];
  const rates = [0, 0.3];
  test.each(shapes.flatMap(([name, shape]) => rates.map((rate) => [name, rate, shape] as const)))(
    '%s, dropout %s',
    (_, rate, shape) => {
      scope(() => {
        const { B, H, T, S, D } = shape;
        const inputs = made(shape);
        const [q, k, v, mask] = inputs;
        const found = scaledDotProductAttention(q, k, v, { mask, scale, dropout: { rate, seed: 7 } });
        const wanted = byHand(inputs, dropout(ones([B, H, T, S]), rate, 7));
        expect(found.shape).toEqual([B, H, T, D]);
        expect(apart(found, wanted)).toBeLessThan(3e-6);
        const by = randn([B, H, T, D], 5);
        const gradients = grad([found.mul(by).sum()], inputs) as Tensor[];
        const expected = grad([wanted.mul(by.to('float64')).sum()], inputs) as Tensor[];
        for (const [i, gradient] of gradients.entries()) {
          expect(gradient.shape).toEqual(inputs[i]!.shape);
          expect(apart(gradient, expected[i]!.to('float64'))).toBeLessThan(1e-5);
        }
      });
    },
  );

  test('a key that nobody may look at has no weight and no gradient', () => {
    scope(() => {
      const [q, k, v] = made({ B: 1, H: 2, T: 4, S: 6, D: 8, bias: [1] });
      const mask = zeros([1, 1, 1, 6]);
      mask.narrow(3, 4, 2).copy_(zeros([1, 1, 1, 2]).sub(1e9));
      const found = scaledDotProductAttention(q, k, v, { mask, scale });
      const seen = scaledDotProductAttention(q, k.narrow(2, 0, 4), v.narrow(2, 0, 4), {
        mask: zeros([1, 1, 1, 4]),
        scale,
      });
      expect(apart(found, seen.to('float64'))).toBeLessThan(1e-6);
      for (const gradient of grad([found.square().sum()], [k, v]) as Tensor[])
        expect(gradient.narrow(2, 4, 2).abs().amax().item()).toBe(0);
    });
  });

  test('with one thread and with three: the same bits', () => {
    expectSameBits(() => {
      const inputs = made({ B: 3, H: 5, T: 60, S: 50, D: 16, bias: [1, 5, 60, 50] });
      const [q, k, v, mask] = inputs;
      const found = scaledDotProductAttention(q, k, v, { mask, scale, dropout: { rate: 0.1, seed: 3 } });
      return [found, ...(grad([found.square().sum()], inputs) as Tensor[])];
    });
  });

  test('what does not fit is refused', () => {
    scope(() => {
      const [q, k, bias] = [zeros([2, 3, 4, 8]), zeros([2, 3, 5, 8]), zeros([1, 3, 4, 5])];
      const attend = (query: Tensor, key: Tensor, value: Tensor, added: Tensor, rate = 0) =>
        op('promot::biased_attention', query, key, value, added, 1, rate, 0);
      expect(attend(q, k, k, bias).shape).toEqual([2, 3, 4, 8]);
      expect(() => attend(q, k, zeros([2, 3, 6, 8]), bias)).toThrow('as many keys as values');
      expect(() => attend(q, zeros([2, 3, 0, 8]), zeros([2, 3, 0, 8]), bias)).toThrow('S at least 1');
      expect(() => attend(q, zeros([2, 1, 5, 8]), zeros([2, 1, 5, 8]), bias)).toThrow('keys and values are');
      expect(() => attend(q, k, k, zeros([1, 3, 4, 4]))).toThrow('broadcasts to [B, H, T, S]');
      expect(() => attend(q, k, k, zeros([5]))).toThrow('four dimensions');
      expect(() => attend(q, k, k, bias, 1)).toThrow('in [0, 1)');
      expect(() => attend(zeros([2, 3, 4, 12]), k, k, bias)).toThrow('multiple of 8');
    });
  });
});

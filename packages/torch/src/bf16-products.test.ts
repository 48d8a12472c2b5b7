// Products of bfloat16 numbers: through float32 where the processor does not multiply them by itself.
import { describe, expect, test } from 'vitest';
import { addProduct, grad, linear, noGrad, op, randn, scaledDotProductAttention, scope, type Tensor } from './index.js';

/** Numbers that bfloat16 holds, so that the same ones can be had as float32. */
const made = (shape: readonly number[], seed: number) => randn(shape, seed).to('bfloat16');
const leaf = (t: Tensor) => {
  const own = t.detach();
  own.requiresGrad = true;
  return own;
};
/** The farthest two tensors are apart, as a share of the largest number: bfloat16 has 8 bits. */
const apart = (found: Tensor, wanted: Tensor) =>
  found.float().sub(wanted.float()).abs().amax().item() / wanted.float().abs().amax().item();

describe('promot::linear_in_float is the product in float32, rounded once', () => {
  // Rows of x, inputs, outputs: one part of the weight and several; more columns than a part has numbers.
  test.each([
    [[3, 5], 24, 16],
    [[2], 700, 1600],
    [[1], 600_000, 2],
  ] as const)('x %j of %i places, %i outputs', (rows, inputs, outputs) => {
    for (const hasBias of [true, false])
      scope(() => {
        const [x, weight, bias] = [made([...rows, inputs], 1), made([outputs, inputs], 2), made([outputs], 3)];
        const gradient = made([...rows, outputs], 4);
        const own = [leaf(x), leaf(weight), ...(hasBias ? [leaf(bias)] : [])] as [Tensor, Tensor, Tensor?];
        const floats = own.map((t) => leaf(t!.float())) as [Tensor, Tensor, Tensor?];
        const y = op('promot::linear_in_float', own[0], own[1], own[2] ?? null);
        const wanted = op('aten::linear', floats[0], floats[1], floats[2] ?? null);
        expect([y.dtype, y.shape]).toEqual(['bfloat16', [...rows, outputs]]);
        const found = [y, ...grad([y], own as Tensor[], { gradients: [gradient] })];
        const right = [wanted, ...grad([wanted], floats as Tensor[], { gradients: [gradient.float()] })];
        // A sum of other order may be rounded the other way: half a step, and a step.
        for (const [i, one] of found.entries()) expect(apart(one!, right[i]!.to('bfloat16'))).toBeLessThan(2 ** -8);
      });
  });

  test('only the gradients that are asked for are computed', () => {
    scope(() => {
      const [x, weight] = [leaf(made([3, 8], 1)), made([4, 8], 2)];
      const y = op('promot::linear_in_float', x, weight, null);
      const [gradient] = grad([y], [x], { gradients: [made([3, 4], 3)] });
      expect(apart(gradient!, made([3, 4], 3).float().matmul(weight.float()))).toBeLessThan(2 ** -8);
    });
  });

  test('what does not fit is refused', () => {
    scope(() => {
      const x = made([3, 8], 1);
      expect(() => op('promot::linear_in_float', x, made([4, 7], 2), null)).toThrow(/one column for each place/);
      expect(() => op('promot::linear_in_float', x, made([4, 8], 2), made([3], 3))).toThrow(/one number for each row/);
      expect(() => op('promot::linear_in_float', x.float(), made([4, 8], 2), null)).toThrow(/takes bfloat16/);
    });
  });
});

test('linear layers, products and attention in bfloat16 are those of float32, on every processor', () => {
  scope(() =>
    noGrad(() => {
      const [a, b] = [made([2, 5, 8], 1), made([2, 8, 3], 2)];
      expect(apart(a.matmul(b), a.float().matmul(b.float()))).toBeLessThan(0.01);
      expect(apart(a.bmm(b), a.float().bmm(b.float()))).toBeLessThan(0.01);
      expect(apart(linear(a, made([4, 8], 3)), linear(a.float(), made([4, 8], 3).float()))).toBeLessThan(0.01);
      const [sum, x, y] = [made([5, 3], 4), made([5, 8], 5), made([8, 3], 6)];
      const wanted = sum.float().add(x.float().matmul(y.float()));
      addProduct(sum, x, y);
      expect(apart(sum, wanted)).toBeLessThan(0.01);
      const [q, k, v] = [made([2, 3, 7, 8], 7), made([2, 3, 9, 8], 8), made([2, 3, 9, 8], 9)];
      for (const mask of [undefined, made([1, 1, 7, 9], 10), made([1, 1, 7, 9], 11).gt(0.5).logicalNot()])
        for (const dropout of [undefined, { rate: 0.3, seed: 5 }]) {
          const found = scaledDotProductAttention(q, k, v, { ...(mask && { mask }), dropout });
          const inFloat = mask && (mask.dtype === 'bool' ? mask : mask.float());
          const right = scaledDotProductAttention(q.float(), k.float(), v.float(), {
            ...(inFloat && { mask: inFloat }),
            dropout,
          });
          expect(found.dtype).toBe('bfloat16');
          expect(apart(found, right)).toBeLessThan(0.02);
        }
    }),
  );
});

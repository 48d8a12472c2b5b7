// Layers: a weight laid out for the processor gives the same products, and is gone afterwards.
import { describe, expect, test } from 'vitest';
import { grad, noGrad } from './autograd.js';
import { randn } from './creation.js';
import { Linear, withPackedWeights } from './nn.js';
import { scope } from './scope.js';
import type { Tensor } from './tensor.js';

const distance = (a: Tensor, b: Tensor) => a.float().sub(b.float()).square().mean().sqrt().item();

describe.each(['float32', 'bfloat16'] as const)('packed weights in %s', (dtype) => {
  test.each([true, false])('a product is the same for any number of rows (bias: %s)', async (biased) => {
    const layer = new Linear(randn([50, 30], 1).to(dtype), biased ? randn([50], 2).to(dtype) : undefined);
    for (const shape of [
      [1, 30],
      [64, 30],
      [2, 3, 30],
      [16, 1, 30],
    ]) {
      const x = randn(shape, 3).to(dtype);
      const run = () => noGrad(() => layer.forward(x));
      const plain = run();
      const packed = await withPackedWeights([layer], async () => run());
      expect(packed.shape).toEqual(plain.shape);
      expect(packed.dtype).toBe(dtype);
      expect(distance(packed, plain)).toBeLessThan(dtype === 'float32' ? 1e-5 : 0.05);
    }
  });
});

test.each(['float32', 'bfloat16'] as const)(
  'with a gradient for x, and inside of one another, in %s',
  async (dtype) => {
    const layer = new Linear(randn([50, 30], 1).to(dtype), randn([50], 2).to(dtype));
    for (const shape of [
      [7, 30],
      [2, 300, 30],
    ]) {
      const run = () => {
        const x = randn(shape, 3).to(dtype).detach();
        x.requiresGrad = true;
        // A transposed gradient, which the kernel has to put in order.
        const y = layer.forward(x).transpose(0, -1);
        const [gradient] = grad([y], [x], { gradients: [randn(y.shape, 4).to(dtype)] });
        return [y, gradient!] as const;
      };
      const plain = run();
      const packed = await withPackedWeights([layer], async () => run(), { gradient: true });
      const inside = await withPackedWeights([layer], () => withPackedWeights([layer], async () => run()), {
        gradient: true,
      });
      for (const [i, wanted] of plain.entries()) {
        expect(packed[i]!.shape).toEqual(wanted.shape);
        expect(distance(packed[i]!, wanted)).toBeLessThan(dtype === 'float32' ? 1e-5 : 0.05);
        expect(inside[i]!.equal(packed[i]!)).toBe(true);
      }
    }
  },
);

test('the layout ends with the body, also when it throws: later weights count', async () => {
  const layer = new Linear(randn([8, 4], 1));
  const x = randn([3, 4], 2);
  await expect(
    withPackedWeights([layer], async () => {
      throw new Error('stopped');
    }),
  ).rejects.toThrow('stopped');
  noGrad(() => scope(() => layer.weight.copy_(randn([8, 4], 3))));
  const difference = distance(layer.forward(x), x.matmul(layer.weight.transpose(0, 1)));
  expect(difference).toBeLessThan(1e-6);
});

// Layers: a weight laid out for the processor gives the same products, and is gone afterwards.
import { describe, expect, test } from 'vitest';
import { grad, noGrad } from './autograd.js';
import { randn, tensor } from './creation.js';
import { native } from './native.js';
import { Linear, withPackedWeights } from './nn.js';
import { scope } from './scope.js';
import { op, type Tensor } from './tensor.js';

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

describe('the memory of a packed weight', () => {
  // All kinds of bits: infinite, no number (of two kinds), below the normal range, negative zero.
  const odd = Float32Array.of(Infinity, 0, 0, 1e-42, -0, ...Array.from({ length: 145 }, (_, i) => Math.sin(i)));
  new Uint32Array(odd.buffer).set([0x7fc01234, 0xff800001], 1);
  const weightOf = (numbers = odd) => tensor(numbers, { shape: [15, 10] });
  const pack = (weight: Tensor) => op('mkldnn::_reorder_linear_weight', weight, 64);
  const bytes = (weight: Tensor) => Buffer.from(weight.toBytes()).toString('hex');

  test('comes back with the same bits when somebody reads them', () => {
    scope(() => {
      const weight = weightOf();
      const before = bytes(weight);
      for (const _ of [1, 2]) {
        expect(native.giveBack(weight.handle, scope(() => pack(weight)).handle)).toBe(true);
        // Nobody has read it yet.
        expect([weight.shape, weight.dtype, weight.device]).toEqual([[15, 10], 'float32', 'cpu']);
        weight.requiresGrad = true;
        weight.requiresGrad = false;
        expect(bytes(weight)).toBe(before);
      }
      native.giveBack(weight.handle, pack(weight).handle);
      weight.fill_(2);
      expect(weight.toNumbers()).toEqual(Array(150).fill(2));
    });
  });

  test('stays where something else leads to it, or the packed one has other bits', () => {
    scope(() => {
      const weight = weightOf();
      const packed = pack(weight);
      const back = () => native.giveBack(weight.handle, packed.handle);
      for (const other of [() => weight.alias(), () => weight.detach(), () => weight.narrow(0, 3, 2)]) {
        const held = other();
        expect(back()).toBe(false);
        held.dispose();
      }
      expect(native.giveBack(weight.handle, pack(weightOf(odd.map((x, i) => (i === 4 ? 0 : x)))).handle)).toBe(false);
      expect(native.giveBack(weight.handle, weight.clone().handle)).toBe(false);
      expect(back()).toBe(true);
      // A view is made of what came back.
      const view = weight.narrow(0, 3, 2);
      expect(back()).toBe(false);
      expect(bytes(view)).toBe(bytes(weight).slice(3 * 80, 5 * 80));
    });
  });

  test.each(['float32', 'bfloat16'] as const)('is there in the midst and afterwards: a layer in %s', async (dtype) => {
    const layer = new Linear(randn([50, 30], 1).to(dtype));
    const copy = layer.weight.clone();
    await withPackedWeights([layer], async () => {
      expect(layer.weight.equal(copy)).toBe(true);
    });
    await withPackedWeights([layer], async () => {}, { gradient: true });
    expect(layer.weight.equal(copy)).toBe(true);
    // The next time goes on with the packed copy where nobody has read the weight, and where it was changed with a new
    // one.
    const x = randn([3, 30], 2).to(dtype);
    const run = () => withPackedWeights([layer], async () => noGrad(() => layer.forward(x)));
    const first = await run();
    expect((await run()).equal(first)).toBe(true);
    layer.weight.mul_(2);
    expect((await run()).equal(first.mul(2))).toBe(true);
  });
});

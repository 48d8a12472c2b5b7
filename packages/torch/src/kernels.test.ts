// The gate, the rotation and numbers of some bits in one pass (native/gate.cc, native/rotate.cc, native/unpack-bits.cc)
// beside libtorch's own operators, and the check of numbers by their sum.
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { expectSameBits } from '../test/threads.js';
import {
  allFinite,
  type BitBlocks,
  type BitParts,
  backward,
  call,
  cat,
  type DType,
  gated,
  grad,
  linear,
  linears,
  noGrad,
  ones,
  op,
  plainGated,
  plainRotate,
  randn,
  rotate,
  scope,
  stack,
  type Tensor,
  tensor,
  threads,
  uniform,
  unpackBits,
  zeros,
} from './index.js';

const farthest = (a: Tensor, b: Tensor) => a.float().sub(b.float()).abs().amax().item();
const leaf = (t: Tensor) => {
  const own = t.detach();
  own.requiresGrad = true;
  return own;
};

describe('the gate is the plain formula', () => {
  // Numbers that are and are not a multiple of the kernel's chunks and lanes; none; a single one.
  const shapes = [[3, 5, 24], [1], [0, 8], [7, 1000], [1024]];
  const cases = shapes.flatMap((shape) =>
    (['silu', 'gelu-tanh'] as const).flatMap((activation) =>
      (['float32', 'bfloat16'] as const).map((dtype) => ({ shape, activation, dtype })),
    ),
  );
  test.each(cases)('in value and gradients: $shape, $activation, $dtype', ({ shape, activation, dtype }) => {
    scope(() => {
      const make = (seed: number, as: DType, scale = 1) => randn(shape, seed).mul(scale).to(as);
      // Large ones, too, where the sigmoid is 0 or 1.
      const [gate, up] = [leaf(make(1, dtype, 6)), leaf(make(2, dtype))];
      const g = make(3, dtype);
      const y = gated(gate, up, activation);
      const wanted = plainGated(gate, up, activation);
      const found = [y, ...grad([y], [gate, up], { gradients: [g] })] as Tensor[];
      const right = [wanted, ...grad([wanted], [gate, up], { gradients: [g] })] as Tensor[];
      found.forEach((one, i) => {
        expect([one.dtype, one.shape]).toEqual([dtype, shape]);
        if (one.numel === 0) return;
        const tolerance = dtype === 'float32' ? 2e-6 : 0.008;
        expect(farthest(one, right[i]!) / Math.max(1, right[i]!.float().abs().amax().item())).toBeLessThan(tolerance);
      });
    });
  });

  test('of numbers beyond the range of exp, of a transposed gate, without gradients', () => {
    scope(() => {
      const far = tensor(Float32Array.of(-1e30, -200, -88, -1e-30, 0, 1e-30, 88, 200, 1e30));
      for (const activation of ['silu', 'gelu-tanh'] as const) {
        const one = noGrad(() => gated(far, ones([9]), activation).toNumbers());
        expect(one.slice(-2)).toEqual([200, Math.fround(1e30)]);
        expect(
          one.slice(1, 8).every((x, i) => Math.abs(x - Math.max(0, [-200, -88, 0, 0, 0, 88, 200][i]!)) < 1e-6),
        ).toBe(true);
      }
      expect(Number.isNaN(gated(tensor(Float32Array.of(Number.NaN)), ones([1]), 'silu').item())).toBe(true);
      const [gate, up] = [randn([6, 4], 1).transpose(0, 1), randn([4, 6], 2)];
      expect(farthest(gated(gate, up, 'silu'), plainGated(gate, up, 'silu'))).toBeLessThan(1e-6);
      expect(() => op('promot::gate', up, up, 'tanh')).toThrow('silu or gelu-tanh');
    });
  });

  test('gives the same bits with any number of threads', () => {
    expectSameBits(() => {
      const [gate, up] = [leaf(randn([300, 333], 1)), leaf(randn([300, 333], 2))];
      return grad([gated(gate, up, 'gelu-tanh')], [gate, up], { gradients: [randn([300, 333], 3)] }) as Tensor[];
    });
  });
});

test.runIf(process.platform === 'linux')('the kernels share their work among libtorch’s threads', () => {
  const before = threads();
  const count = () => readdirSync('/proc/self/task').length;
  scope(() => {
    const [gate, up] = [zeros([1, 16 * 1024 * 23]), zeros([1, 16 * 1024 * 23])];
    // libtorch starts its threads when there is work for them. No other test asks for so many.
    threads(23);
    try {
      const earlier = count();
      gated(gate, up, 'silu');
      expect(count()).toBeGreaterThan(earlier);
    } finally {
      threads(before);
    }
  });
});

describe('the product of a linear layer is aten::linear', () => {
  // Rows, inputs and outputs that are and are not multiples of what is computed together, and more rows than that.
  const shapes = [
    [1, 8, 1],
    [3, 24, 4],
    [5, 576, 7],
    [97, 40, 13],
    [24, 1536, 12],
    [4, 30, 10],
    [0, 8, 3],
  ];
  test.each(shapes)('%d rows, %d inputs, %d outputs', (rows, inputs, outputs) => {
    scope(() => {
      const [x, weight, bias] = [randn([rows, inputs], 1), randn([outputs, inputs], 2), randn([outputs], 3)];
      for (const own of [bias, undefined]) {
        const found = linear(x.view(1, rows, inputs), weight, own);
        expect(found.shape).toEqual([1, rows, outputs]);
        if (rows === 0) continue;
        expect(farthest(found, op('aten::linear', x, weight, own))).toBeLessThan(1e-6 * inputs);
      }
      // Not as it lies in memory: every second row of x, a transposed weight.
      const other = linear(x.repeatInterleave(2, 0).asStrided([rows, inputs], [2 * inputs, 1]), weight);
      if (rows > 0) expect(farthest(other, linear(x, weight))).toBeLessThan(1e-6 * inputs);
      const turned = weight.transpose(0, 1).contiguous().transpose(0, 1);
      if (rows > 0) expect(farthest(linear(x, turned), linear(x, weight))).toBeLessThan(1e-6 * inputs);
    });
  });

  test('with gradients, in bf16, and of shapes that do not fit', () => {
    scope(() => {
      const [x, weight] = [leaf(randn([5, 16], 1)), leaf(randn([6, 16], 2))];
      const g = randn([5, 6], 3);
      const found = grad([linear(x, weight)], [x, weight], { gradients: [g] }) as Tensor[];
      expect(farthest(found[0]!, g.matmul(weight))).toBeLessThan(1e-5);
      expect(farthest(found[1]!, g.transpose(0, 1).matmul(x))).toBeLessThan(1e-5);
      const narrow = linear(x.to('bfloat16'), weight.to('bfloat16'));
      expect([narrow.dtype, narrow.shape]).toEqual(['bfloat16', [5, 6]]);
      expect(() => noGrad(() => linear(x, randn([6, 8], 1)))).toThrow();
    });
  });

  test('of several weights at once, in value and gradient, which `backward` adds up', () => {
    scope(() => {
      // Rows, outputs and inputs that make one part of the work and several, and blocks that are not full.
      for (const [rows, outputs, inputs] of [
        [5, [6, 3], 16],
        [210, [300, 40, 129], 16],
        [61, [70, 9], 408],
        [500, [520], 24],
      ] as const) {
        const x = leaf(randn([2, rows, inputs], 1));
        const layers = outputs.map((count, i) => ({
          weight: leaf(randn([count, inputs], 2 + i)),
          ...(i === 0 && { bias: leaf(randn([count], 9)) }),
        }));
        const weights = layers.map(({ weight }) => weight);
        const found = linears(x, layers);
        found.forEach((y, i) => {
          expect(farthest(y, linear(x, weights[i]!, layers[i]!.bias))).toBeLessThan(1e-5);
        });
        const g = outputs.map((count, i) => randn([2, rows, count], 20 + i));
        const wanted = [
          g.map((one, i) => one.matmul(weights[i]!)).reduce((sum, one) => sum.add(one)),
          ...g.map((one, i) => one.reshape(-1, outputs[i]!).transpose(0, 1).matmul(x.reshape(-1, inputs))),
        ];
        const given = grad(found, [x, ...weights], { gradients: g, retainGraph: true }) as Tensor[];
        given.forEach((one, i) => {
          expect(farthest(one, wanted[i]!)).toBeLessThan(2e-4);
        });
        expect(x.grad ?? weights[0]!.grad).toBeUndefined();
        // What `grad` gave stays as it is.
        const before = given.map((one) => one.clone());
        for (let times = 1; times <= 3; times++) {
          backward(linears(x, layers), g);
          [x, ...weights].forEach((one, i) => {
            expect(farthest(one.grad!, wanted[i]!.mul(times))).toBeLessThan(6e-4);
          });
        }
        given.forEach((one, i) => {
          expect(one.equal(before[i]!)).toBe(true);
        });
        expect(farthest(layers[0]!.bias!.grad!, g[0]!.sum(0).sum(0).mul(3))).toBeLessThan(6e-4);
      }
    });
  });

  test('of the same weight twice, and of weights without a gradient', () => {
    scope(() => {
      const [x, weight, frozen] = [leaf(randn([40, 16], 1)), leaf(randn([8, 16], 2)), randn([8, 16], 3)];
      const g = [4, 5, 6].map((seed) => randn([40, 8], seed));
      for (let times = 1; times <= 2; times++) {
        backward(linears(x, [{ weight }, { weight: frozen }, { weight }]), g);
        const wanted = g[0]!.add(g[2]!).transpose(0, 1).matmul(x).mul(times);
        expect(farthest(weight.grad!, wanted)).toBeLessThan(1e-4);
      }
      expect(frozen.grad).toBeUndefined();
      expect(() => call('promot::linears', x, [], [])).toThrow(/one weight or more/);
      expect(() => call('promot::linears', x, [weight], [])).toThrow(/as many biases/);
    });
  });

  test('gives a row the same bits in any company, where the kernel does it', () => {
    scope(() => {
      // Few rows, then many: from 96 on the weight is laid out.
      for (const [all, from, some] of [
        [52, 47, 2],
        [500, 301, 130],
      ] as const) {
        const [x, weight] = [randn([all, 72], 1), randn([9, 72], 2)];
        if (!call('promot::linear_takes', weight)) return;
        expect(linear(x.narrow(0, from, some), weight).equal(linear(x, weight).narrow(0, from, some))).toBe(true);
      }
    });
  });

  test('gives the same bits with any number of threads', () => {
    expectSameBits(() => [noGrad(() => linear(randn([50, 64], 1), randn([333, 64], 2)))]);
  });
});

describe('the rotation is the plain formula', () => {
  // Rows of their own places or of the same; the whole head or its first part.
  const cases = (['halves', 'pairs'] as const).flatMap((planes) =>
    [1, 3].flatMap((rows) => [8, 20].map((width) => ({ planes, rows, width }))),
  );
  test.each(cases)('in value and gradient: $planes, $rows rows of angles, $width of 20 numbers', (one) => {
    const { planes, rows, width } = one;
    scope(() => {
      const angles = randn([rows, 1, 5, width / 2], 2);
      const twice = planes === 'halves' ? cat([angles, angles], 3) : angles.repeatInterleave(2, 3);
      const [cos, sin] = [twice.cos(), twice.sin()];
      // As a linear layer gives it: heads inside of places.
      const x = leaf(randn([3, 5, 4, 20], 1).transpose(1, 2));
      const g = randn([3, 4, 5, 20], 3);
      const [y, wanted] = [rotate(x, cos, sin, planes), plainRotate(x, cos, sin, planes)];
      const [dx, right] = [y, wanted].map((of) => grad([of], [x], { gradients: [g] })[0]!) as [Tensor, Tensor];
      expect(y.shape).toEqual([3, 4, 5, 20]);
      expect(farthest(y, wanted)).toBeLessThan(1e-6);
      expect(farthest(dx, right)).toBeLessThan(1e-6);
    });
  });

  test('refuses angles of another number of places', () => {
    scope(() => {
      expect(() => rotate(ones([1, 1, 3, 4]), ones([1, 1, 2, 4]), ones([1, 1, 2, 4]), 'halves')).toThrow(
        '[B or 1, 1, L, W]',
      );
    });
  });
});

describe('numbers of some bits are the plain formula, bit for bit', () => {
  /** [N, count] random bytes, within wider rows. */
  const bytesOf = (n: number, count: number, seed: number) =>
    uniform([n, count + 3], 0, 256, seed)
      .to('uint8')
      .narrow(1, 1, count);
  const plainParts = ({ bytes, width, bits }: BitParts) => {
    const rows = bytes.to('int32').reshape(bytes.size(0), -1, width);
    const parts = Array.from({ length: 8 / bits }, (_, i) => rows.floorDivide(2 ** (bits * i)).remainder(2 ** bits));
    return stack(parts, 2).reshape(bytes.size(0), -1);
  };
  const plain = ({ low, high, offset = 0, scale, plus }: BitBlocks) => {
    const q = high ? plainParts(low).add(plainParts(high), 2 ** low.bits) : plainParts(low);
    const scaled = q.sub(offset).float().view(scale.size(0), scale.size(1), -1).mul(scale.unsqueeze(-1));
    return (plus ? scaled.add(plus.unsqueeze(-1)) : scaled).view(scale.size(0), -1);
  };
  const unpacked = (blocks: BitBlocks, numbers: number) => {
    const out = zeros([blocks.scale.size(0), numbers]);
    unpackBits(out, blocks);
    return out;
  };
  // Bits, groups, and whether there are bits above, an offset, something to add.
  const cases = [
    { bits: 4, groups: 1, high: false, offset: 8, plus: false },
    { bits: 4, groups: 8, high: true, offset: 0, plus: true },
    { bits: 2, groups: 16, high: true, offset: 4, plus: false },
    { bits: 1, groups: 2, high: false, offset: 1, plus: true },
  ] as const;
  test.each(cases)('$bits bits, $groups groups, above $high, offset $offset, added $plus', (one) => {
    scope(() => {
      const [n, numbers] = [50, 256];
      const blocks: BitBlocks = {
        low: { bytes: bytesOf(n, (numbers * one.bits) / 8, 1), width: 32, bits: one.bits },
        ...(one.high && { high: { bytes: bytesOf(n, numbers / 8, 2), width: 16, bits: 1 as const } }),
        offset: one.offset,
        scale: randn([n, one.groups], 3),
        ...(one.plus && { plus: randn([n, one.groups], 4) }),
      };
      expect(unpacked(blocks, numbers).equal(plain(blocks))).toBe(true);
      expectSameBits(() => [unpacked(blocks, numbers)]);
    });
  });

  test('signed bytes, scales of 16 bits; what does not fit together is refused', () => {
    scope(() => {
      const bytes = bytesOf(3, 32, 1).viewDtype('int8');
      const scale = randn([3, 1], 2);
      const low = { bytes, width: 32, bits: 8 } as const;
      expect(unpacked({ low, scale }, 32).equal(bytes.float().mul(scale))).toBe(true);
      const halves = randn([3, 4], 5).to('float16').narrow(1, 1, 2);
      const floats = halves.float();
      expect(
        unpacked({ low, scale: halves, plus: halves }, 32).equal(unpacked({ low, scale: floats, plus: floats }, 32)),
      ).toBe(true);
      expect(() => unpacked({ low, scale }, 33)).toThrow('one part of 1, 2, 4 or 8 bits for each number');
      expect(() => unpacked({ low: { ...low, width: 5 }, scale }, 32)).toThrow('rows of `width`');
      expect(() => unpacked({ low, scale: randn([3, 5], 2) }, 32)).toThrow('scales are float32 or float16 [N, groups]');
      expect(() => unpacked({ low, scale, plus: randn([3, 2], 2) }, 32)).toThrow(
        'scales are float32 or float16 [N, groups]',
      );
      expect(() => unpacked({ low, scale: randn([2, 1], 2) }, 32)).toThrow();
      expect(() => unpacked({ low, high: low, scale }, 32)).toThrow('signed bytes alone');
    });
  });
});

test('numbers are finite also where their sum is not', () => {
  scope(() => {
    const of = (...numbers: number[]) => tensor(Float32Array.from(numbers));
    expect(allFinite([of(3e38, 3e38), of(), of(-3e38, -3e38, 1), of(300, 6e4, 6e4).to('float16')])).toBe(true);
    for (const bad of [Number.NaN, Infinity, -Infinity]) expect(allFinite([of(1), of(1, bad, 2)])).toBe(false);
    expect(allFinite([of(Infinity, -Infinity)])).toBe(false);
    expect(allFinite([tensor(BigInt64Array.of(1n, -2n))])).toBe(true);
  });
});

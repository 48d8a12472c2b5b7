// The gate and the rotation in one pass (native/gate.cc, native/rotate.cc) beside libtorch's own operators, and the
// check of numbers by their sum.
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { expectSameBits } from '../test/threads.js';
import {
  allFinite,
  cat,
  type DType,
  gated,
  grad,
  noGrad,
  ones,
  op,
  plainGated,
  plainRotate,
  randn,
  rotate,
  scope,
  type Tensor,
  tensor,
  threads,
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

test('numbers are finite also where their sum is not', () => {
  scope(() => {
    const of = (...numbers: number[]) => tensor(Float32Array.from(numbers));
    expect(allFinite([of(3e38, 3e38), of(), of(-3e38, -3e38, 1), of(300, 6e4, 6e4).to('float16')])).toBe(true);
    for (const bad of [Number.NaN, Infinity, -Infinity]) expect(allFinite([of(1), of(1, bad, 2)])).toBe(false);
    expect(allFinite([of(Infinity, -Infinity)])).toBe(false);
    expect(allFinite([tensor(BigInt64Array.of(1n, -2n))])).toBe(true);
  });
});

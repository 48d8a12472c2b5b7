// Dropout: promot's own operator, whose mask is a function of (seed, place).
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type DType, deriveSeed, dropout, grad, noGrad, ones, scope, tensor, threads } from './index.js';

/** Which of `count` places stay, 1 or 0. */
function mask(count: number, rate: number, seed: number, dtype: DType = 'float32'): Uint8Array {
  return scope(() =>
    dropout(ones([count], dtype), rate, seed)
      .ne(0)
      .toArray(),
  ) as Uint8Array;
}
/** Quicker than toEqual on many numbers. */
const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;
const mean = (numbers: Uint8Array) => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
/** Correlation of two masks of a rate, which should be within a few 1 / sqrt(n) of 0. */
function correlation(a: Uint8Array, b: Uint8Array, rate: number): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - (1 - rate)) * (b[i]! - (1 - rate));
  return sum / a.length / (rate * (1 - rate));
}

const count = 1 << 18;
/** Five standard deviations of a mean of `count` independent numbers of variance 1. */
const chance = 5 / Math.sqrt(count);

describe('the mask', () => {
  test.each([0.01, 0.1, 0.5, 0.9])('drops a share of %d', (rate) => {
    expect(Math.abs(1 - mean(mask(count, rate, 1)) - rate)).toBeLessThan(chance * Math.sqrt(rate * (1 - rate)));
  });

  test('what stays is scaled by 1 / (1 - rate), and what is dropped is 0', () => {
    scope(() => {
      const x = tensor(Float32Array.from({ length: 1000 }, (_, i) => i - 500.5));
      const [input, output] = [x.toNumbers(), dropout(x, 0.25, 5).toNumbers()];
      const kept = output.filter((y, i) => {
        if (y === 0) return false;
        expect(y).toBe(Math.fround(input[i]! * Math.fround(1 / 0.75)));
        return true;
      });
      expect(kept.length).toBeGreaterThan(700);
      expect(kept.length).toBeLessThan(800);
    });
  });

  test('rate 0 gives the input; a rate outside [0, 1) is refused', () => {
    scope(() => {
      const x = ones([10]);
      expect(dropout(x, 0, 3).equal(x)).toBe(true);
      for (const rate of [1, -0.1, 1.5, Number.NaN])
        expect(() => dropout(x, rate, 3)).toThrow('dropout rate must be in [0, 1)');
    });
  });

  test('is the same for the same seed, whatever the shape and the layout', () => {
    const wanted = mask(6000, 0.3, 99);
    expect(mask(6000, 0.3, 99)).toEqual(wanted);
    scope(() => {
      expect(
        dropout(ones([20, 300]), 0.3, 99)
          .ne(0)
          .toArray(),
      ).toEqual(wanted);
      expect(
        dropout(ones([300, 20]).transpose(0, 1), 0.3, 99)
          .ne(0)
          .toArray(),
      ).toEqual(wanted);
    });
    // A longer tensor begins with it.
    expect(mask(9000, 0.3, 99).subarray(0, 6000)).toEqual(wanted);
  });

  test('is the same for bfloat16 and float32', () => {
    expect(same(mask(count, 0.1, 7, 'bfloat16'), mask(count, 0.1, 7))).toBe(true);
  });

  test('is the same on devices and for types that have no loop of their own, piece after piece', () => {
    const long = (1 << 22) + 1000;
    for (const [size, seed, rate] of [
      [long, 3, 0.1],
      [1000, 2 ** 40 + 5, 0.9],
      [0, 1, 0.5],
    ] as const) {
      expect(same(mask(size, rate, seed, 'float64'), mask(size, rate, seed)), `${size}`).toBe(true);
      expect(same(mask(size, rate, seed, 'float16'), mask(size, rate, seed)), `${size}`).toBe(true);
    }
    scope(() => {
      // Without a multiplication: what is dropped is 0 even where it was infinite.
      const [kept] = dropout(tensor([Infinity, 2, 4], { dtype: 'float64' }), 0.5, 1).toNumbers();
      expect([0, Infinity]).toContain(kept);
      const x = tensor([1, 2, 4], { dtype: 'float64', shape: [3, 1] });
      const y = dropout(x, 0.5, 1).toNumbers();
      y.forEach((value, i) => {
        expect([0, 2 * x.toNumbers()[i]!]).toContain(value);
      });
      expect(x.toNumbers()).toEqual([1, 2, 4]);
    });
  });

  test('bfloat16 is rounded to nearest even; infinity and NaN stay', () => {
    scope(() => {
      const x = tensor(
        Float32Array.from({ length: 4096 }, (_, i) => Math.sin(i) * 2 ** ((i % 60) - 30)),
        { dtype: 'bfloat16' },
      );
      const [input, output] = [x.toNumbers(), dropout(x, 0.1, 11).toNumbers()];
      const wanted = tensor(input.map((value, i) => (output[i] === 0 ? 0 : Math.fround(value * Math.fround(1 / 0.9)))));
      expect(output).toEqual(wanted.to('bfloat16').toNumbers());
      for (const dtype of ['bfloat16', 'float32'] as const) {
        const odd = dropout(
          tensor(
            Array.from({ length: 64 }, (_, i) => (i % 2 ? Infinity : Number.NaN)),
            { dtype },
          ),
          0.1,
          2,
        ).toNumbers();
        const kept = odd.filter((y) => y !== 0);
        expect(kept.length).toBeGreaterThan(40);
        odd.forEach((y, i) => {
          if (y !== 0) expect(y).toBe(i % 2 ? Infinity : Number.NaN);
        });
      }
    });
  });

  test('neighbouring and derived seeds are uncorrelated', () => {
    const seeds = [
      0,
      1,
      2,
      3,
      2 ** 32,
      2 ** 32 + 1,
      2 ** 52,
      deriveSeed(1, 1, 1),
      deriveSeed(1, 1, 2),
      deriveSeed(1, 2, 1),
    ];
    const masks = seeds.map((seed) => mask(count, 0.1, seed));
    for (const [i, a] of masks.entries())
      for (const [j, b] of masks.entries())
        if (i < j) expect(Math.abs(correlation(a, b, 0.1)), `seeds ${seeds[i]} and ${seeds[j]}`).toBeLessThan(chance);
  });

  test('shifted, reversed in blocks and repeated, it is uncorrelated with itself: no period', () => {
    const large = mask(1 << 20, 0.1, 13);
    for (const shift of [1, 2, 3, 64, 127, 512, 1 << 10, 1 << 15, 1 << 16, (1 << 16) + 1, 1 << 17, 1 << 18, 1 << 19]) {
      const own = large.subarray(0, large.length - shift);
      const found = correlation(own, large.subarray(shift), 0.1);
      expect(Math.abs(found), `shift ${shift}`).toBeLessThan(5 / Math.sqrt(own.length));
    }
  });

  test('two seeds do not give one mask with its places permuted within aligned blocks', () => {
    // The key is combined with the place by XOR: were it only its low bits that differ, blocks would hold as many
    // zeros.
    const [a, b] = [mask(count, 0.1, 1), mask(count, 0.1, 2)];
    const block = 256;
    const counts = (m: Uint8Array) =>
      Array.from({ length: count / block }, (_, i) =>
        m.subarray(i * block, (i + 1) * block).reduce((sum, x) => sum + x, 0),
      );
    const [first, second] = [counts(a), counts(b)];
    const equal = first.filter((x, i) => x === second[i]).length / first.length;
    // Two independent binomial counts of variance 256 * 0.09 agree in 1 of 2 sqrt(pi * 23) = 17 blocks.
    expect(equal).toBeLessThan(0.12);
  });
});

describe('threads', () => {
  let before: number;
  beforeEach(() => {
    before = threads();
  });
  afterEach(() => {
    threads(before);
  });
  test('their number does not matter', () => {
    threads(1);
    const one = mask(count + 12345, 0.1, 21);
    threads(2);
    expect(threads()).toBe(2);
    expect(same(mask(count + 12345, 0.1, 21), one)).toBe(true);
  });
});

describe('backward', () => {
  test.each(['float32', 'bfloat16'] as const)('has the same mask and scale, %s', (dtype) => {
    scope(() => {
      const x = ones([50, 40], dtype);
      x.requiresGrad = true;
      const y = dropout(x, 0.2, 31);
      const [gradient] = grad([y.sum()], [x]);
      // With ones as input and ones as gradient the two are the same tensor.
      expect(gradient!.equal(noGrad(() => y.detach()))).toBe(true);
      expect(gradient!.dtype).toBe(dtype);
    });
  });
  test('through a strided gradient', () => {
    scope(() => {
      const x = ones([30, 20]);
      x.requiresGrad = true;
      const weight = tensor(
        Float32Array.from({ length: 600 }, (_, i) => i + 1),
        { shape: [20, 30] },
      );
      const y = dropout(x, 0.5, 8);
      const [gradient] = grad([y.transpose(0, 1).mul(weight).sum()], [x]);
      expect(gradient!.equal(y.detach().mul(weight.transpose(0, 1)))).toBe(true);
    });
  });
});

import { describe, expect, test } from 'vitest';
import { expectSameBits } from '../test/threads.js';
import {
  cat,
  grad,
  hasPackedAttention,
  op,
  packedAttention,
  packedPlaces,
  randn,
  scope,
  type Tensor,
  tensor,
  zeros,
} from './index.js';

/** Of query, key and value, twice. */
type Gradients = [Tensor[], Tensor[]];

interface Shape {
  /** Places of each sequence. */
  lengths: number[];
  /** Keys in front of each. */
  before: number;
  heads: number;
  groups: number;
  width: number;
  window?: number;
}

function made({ lengths, before, heads, groups, width }: Shape): [Tensor, Tensor, Tensor] {
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const keys = tokens + before * lengths.length;
  return [randn([tokens, heads, width], 1), randn([keys, groups, width], 2), randn([keys, groups, width], 3)];
}

/** softmax(q k^T * scale) v of each sequence by itself, in float64 and by plain operators. */
function plain([query, key, value]: readonly Tensor[], shape: Shape, scale: number): Tensor {
  const { lengths, before, heads, window = Number.POSITIVE_INFINITY } = shape;
  let [q, k] = [0, 0];
  return cat(
    lengths.map((length) => {
      const all = before + length;
      const part = (x: Tensor, from: number, count: number) => {
        const own = x.narrow(0, from, count).transpose(0, 1).to('float64');
        return own.repeatInterleave(heads / own.size(0), 0);
      };
      const behind = (at: number) => before + Math.floor(at / all) - (at % all);
      const hidden = Array.from({ length: length * all }, (_, at) => Number(behind(at) < 0 || behind(at) >= window));
      const scores = part(query!, q, length)
        .matmul(part(key!, k, all).transpose(1, 2))
        .mul(scale);
      const weights = scores
        .maskedFill(tensor(hidden, { shape: [length, all] }).gt(0.5), Number.NEGATIVE_INFINITY)
        .softmax(2);
      const mixed = weights.matmul(part(value!, k, all)).transpose(0, 1);
      [q, k] = [q + length, k + all];
      return mixed;
    }),
  );
}

const places = ({ lengths, before }: Shape) => packedPlaces(lengths, before);
const farthest = (a: Tensor, b: Tensor) => a.to('float64').sub(b).abs().amax().item();
const isHere = scope(() => hasPackedAttention(zeros([1]), 16));

describe.runIf(isHere)("promot's own kernel", () => {
  test.each<Shape>([
    { lengths: [5], before: 0, heads: 2, groups: 2, width: 8 },
    { lengths: [7, 1, 40], before: 3, heads: 6, groups: 2, width: 24 },
    { lengths: [33, 50], before: 0, heads: 9, groups: 3, width: 64 },
    { lengths: [29, 64, 3], before: 17, heads: 4, groups: 1, width: 16, window: 10 },
    { lengths: [70], before: 40, heads: 3, groups: 3, width: 40, window: 1 },
    // More heads of a group than rows go together; an empty sequence.
    { lengths: [4, 0, 6], before: 2, heads: 50, groups: 1, width: 8 },
  ])('gives the formula and its gradients: $lengths behind $before, $heads heads, window $window', (shape) => {
    scope(() => {
      const inputs = made(shape);
      for (const input of inputs) input.requiresGrad = true;
      const { window } = shape;
      const found = packedAttention(...inputs, places(shape), { scale: 0.3, ...(window && { window }) });
      const wanted = plain(inputs, shape, 0.3);
      expect(found.shape).toEqual(inputs[0].shape);
      expect(farthest(found, wanted)).toBeLessThan(3e-6);
      const weights = randn(found.shape, 4);
      const [own, formula] = [found, wanted].map((x) => grad([x.mul(weights.to(x.dtype)).sum()], inputs)) as Gradients;
      own.forEach((gradient, i) => {
        expect(farthest(gradient, formula[i]!.to('float64'))).toBeLessThan(2e-5);
      });
    });
  });

  test('scores far apart, and the usual scale', () => {
    scope(() => {
      const shape = { lengths: [20, 9], before: 4, heads: 2, groups: 1, width: 16 };
      const [query, key, value] = made(shape);
      const inputs = [query.mul(30), key.mul(30), value] as [Tensor, Tensor, Tensor];
      const found = packedAttention(...inputs, places(shape));
      expect(farthest(found, plain(inputs, shape, 0.25))).toBeLessThan(2e-4);
    });
  });

  test('numbers in bf16 are widened, and what comes out is rounded', () => {
    scope(() => {
      const shape = { lengths: [9, 30], before: 3, heads: 4, groups: 2, width: 16 };
      const inputs = made(shape).map((x) => x.to('bfloat16')) as [Tensor, Tensor, Tensor];
      for (const input of inputs) input.requiresGrad = true;
      const found = packedAttention(...inputs, places(shape));
      const wanted = plain(inputs, shape, 0.25);
      expect(found.dtype).toBe('bfloat16');
      // Half a unit in the last place of numbers up to 4.
      expect(farthest(found, wanted)).toBeLessThan(2 ** -7);
      const [own, formula] = [found, wanted].map((x) => grad([x.sum()], inputs)) as Gradients;
      own.forEach((gradient, i) => {
        expect(gradient.dtype).toBe('bfloat16');
        expect(farthest(gradient, formula[i]!.to('float64'))).toBeLessThan(0.05);
      });
    });
  });

  test('what is not a number stays so', () => {
    scope(() => {
      const shape = { lengths: [6, 5], before: 1, heads: 2, groups: 1, width: 8 };
      const [query, key, value] = made(shape);
      query.narrow(0, 2, 1).mul_(Number.NaN);
      const found = packedAttention(query, key, value, places(shape)).sum(2).toNumbers();
      expect(found.flatMap((number, i) => (Number.isNaN(number) ? [i] : []))).toEqual([4, 5]);
    });
  });

  test('a sequence has the same bits in any company, and with any number of threads', () => {
    const shape = { lengths: [21, 60, 8], before: 5, heads: 6, groups: 3, width: 16 };
    scope(() => {
      const [query, key, value] = made(shape);
      const all = packedAttention(query, key, value, places(shape));
      const [keys, values] = [key, value].map((x) => x.narrow(0, 26, 65)) as [Tensor, Tensor];
      const alone = packedAttention(query.narrow(0, 21, 60), keys, values, packedPlaces([60], 5));
      expect(alone.equal(all.narrow(0, 21, 60))).toBe(true);
    });
    expectSameBits(() => {
      const inputs = made(shape);
      for (const input of inputs) input.requiresGrad = true;
      const found = packedAttention(...inputs, places(shape));
      return [found, ...(grad([found.square().sum()], inputs) as Tensor[])];
    });
  });

  test('what does not fit is refused', () => {
    scope(() => {
      const [q, k] = [zeros([4, 2, 8]), zeros([6, 2, 8])];
      const at = (...numbers: number[]) => tensor(Int32Array.from(numbers));
      const call = (query: Tensor, key: Tensor, queries: Tensor, keys: Tensor, window: number | null = null) =>
        op('promot::packed_attention', query, key, key, queries, keys, 1, window);
      expect(call(q, k, at(0, 4), at(0, 6)).shape).toEqual([4, 2, 8]);
      expect(() => call(q, k, at(0, 5), at(0, 6))).toThrow('from the first place to the last');
      expect(() => call(q, k, at(0, 3, 4), at(0, 2, 6))).toThrow('as many keys as queries');
      expect(() => call(q, k, at(0, 5, 4), at(0, 5, 6))).toThrow('as many keys as queries');
      expect(() => call(q, k, at(0, 4), at(0, 6), 0)).toThrow('at least one place');
      expect(() => call(zeros([4, 3, 8]), k, at(0, 4), at(0, 6))).toThrow('as many heads');
      expect(() => call(zeros([4, 0, 8]), k, at(0, 4), at(0, 6))).toThrow('as many heads');
      expect(() => call(zeros([4, 2, 12]), zeros([6, 2, 12]), at(0, 4), at(0, 6))).toThrow('multiple of 8');
      expect(() => call(q, k, tensor([0, 4]), at(0, 6))).toThrow('int32');
    });
  });
});

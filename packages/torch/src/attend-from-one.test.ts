import { expect, test } from 'vitest';
import { expectSameBits } from '../test/threads.js';
import {
  attendFromOne,
  cat,
  grad,
  noGrad,
  op,
  plainAttendFromOne,
  randn,
  scope,
  type Tensor,
  tensor,
} from './index.js';

/** A query, parts of so many rows and places, and a bias. */
function made(rows: number, heads: number, groups: number, width: number, parts: readonly (readonly number[])[]) {
  const all = parts.reduce((sum, [, length]) => sum + length!, 0);
  const part = ([of, length]: readonly number[], seed: number) => randn([of!, groups, length!, width], seed);
  return {
    query: randn([rows, heads, 1, width], 1),
    parts: parts.map((one, i) => [part(one, 2 + i), part(one, 12 + i)] as const),
    bias: randn([rows, 1, 1, all], 22),
  };
}

const farthest = (a: Tensor, b: Tensor) => a.sub(b).abs().amax().item();

// A prefix for all, inputs for their beams, and rows of their own; more rows than go together; odd lengths and heads.
test.each([
  {
    rows: 6,
    heads: 9,
    groups: 3,
    width: 24,
    parts: [
      [1, 13],
      [2, 5],
      [6, 3],
    ],
  },
  {
    rows: 22,
    heads: 4,
    groups: 1,
    width: 40,
    parts: [
      [2, 9],
      [22, 1],
    ],
  },
  { rows: 3, heads: 2, groups: 2, width: 8, parts: [[3, 4]] },
  { rows: 12, heads: 4, groups: 2, width: 64, parts: [[1, 30]] },
])('attention from one place is the plain formula: $rows rows, parts $parts', (shape) => {
  scope(() => {
    const { rows, heads, groups, width, parts: of } = shape;
    const { query, parts, bias } = made(rows, heads, groups, width, of);
    const options = { scale: 0.3 };
    const found = attendFromOne(query, parts, bias, options);
    expect(found.shape).toEqual([rows, 1, heads * width]);
    expect(farthest(found, plainAttendFromOne(query, parts, bias, options))).toBeLessThan(3e-6);
    const one = bias.narrow(0, 0, 1);
    const [same, wanted] = [attendFromOne, plainAttendFromOne].map((f) => f(query, parts, one, options)) as [
      Tensor,
      Tensor,
    ];
    expect(farthest(same, wanted)).toBeLessThan(3e-6);
    // A place that must not be seen weighs nothing.
    const hidden = bias.clone();
    hidden.narrow(3, 0, 1).mul_(0).add_(-1e9);
    const other = parts.map(([keys, values], i) => [keys, i === 0 ? values.clone() : values] as const);
    other[0]![1].narrow(2, 0, 1).mul_(100);
    expect(farthest(attendFromOne(query, other, hidden, options), attendFromOne(query, parts, hidden, options))).toBe(
      0,
    );
  });
});

test('attention from one place gives a row the same bits in any company, with any number of threads', () => {
  scope(() => {
    const { query, parts, bias } = made(8, 4, 2, 16, [
      [1, 21],
      [2, 6],
      [8, 5],
    ]);
    const all = attendFromOne(query, parts, bias, { scale: 1 });
    // The second input alone.
    const own = parts.map((part) => part.map((t) => t.narrow(0, Math.floor(t.size(0) / 2), Math.ceil(t.size(0) / 2))));
    const half = attendFromOne(query.narrow(0, 4, 4), own as unknown as typeof parts, bias.narrow(0, 4, 4), {
      scale: 1,
    });
    expect(half.equal(all.narrow(0, 4, 4))).toBe(true);
  });
  expectSameBits(() => {
    const { query, parts, bias } = made(12, 6, 3, 32, [
      [1, 50],
      [3, 20],
      [12, 7],
    ]);
    return [attendFromOne(query, parts, bias, { scale: 0.2 })];
  });
});

test('attention from one place with a gradient, a cap or other numbers goes by the plain formula', () => {
  scope(() => {
    const { query, parts, bias } = made(4, 4, 2, 16, [
      [1, 5],
      [4, 3],
    ]);
    query.requiresGrad = true;
    const [gradient] = grad([attendFromOne(query, parts, bias, { scale: 0.5 }).sum()], [query]);
    expect(gradient!.abs().amax().item()).toBeGreaterThan(0);
    noGrad(() => {
      const capped = attendFromOne(query, parts, bias, { scale: 5, cap: 2 });
      expect(farthest(capped, attendFromOne(query, parts, bias, { scale: 5 }))).toBeGreaterThan(0.01);
      const small = parts.map(([keys, values]) => [keys.to('bfloat16'), values.to('bfloat16')] as const);
      const narrow = attendFromOne(query.to('bfloat16'), small, bias.to('bfloat16'), { scale: 0.5 });
      expect(farthest(narrow.float(), attendFromOne(query, parts, bias, { scale: 0.5 }))).toBeLessThan(0.05);
      const [[keys, values]] = parts as [(typeof parts)[0]];
      expect(() => op('promot::attend_from_one', query, [keys], [values], undefined, bias, 1)).toThrow('all places');
    });
  });
});

test('attention from one place: keys in slots, which rows share and reach in their own order', () => {
  scope(() => {
    const input = [randn([2, 2, 7, 16], 1), randn([2, 2, 7, 16], 2)] as const;
    const [keys, values] = [randn([9, 2, 1, 16], 3), randn([9, 2, 1, 16], 4)];
    const table = [
      [0, 4, 8],
      [0, 4, 7],
      [2, 2, 5],
      [3, 6, 1],
    ];
    const slots = tensor(BigInt64Array.from(table.flat(), BigInt), { shape: [4, 3] });
    // The same keys, laid out for each row.
    const own = [keys, values].map((t) =>
      cat(
        table.map((row) =>
          cat(
            row.map((slot) => t.narrow(0, slot, 1)),
            2,
          ),
        ),
        0,
      ),
    ) as [Tensor, Tensor];
    const query = randn([4, 6, 1, 16], 5);
    // A bias of each head, of each input, and of both.
    for (const bias of [randn([1, 6, 1, 10], 6), randn([2, 1, 1, 10], 7), randn([2, 6, 1, 10], 8)]) {
      const options = { scale: 0.4 };
      const found = attendFromOne(query, [input, [keys, values, slots]], bias, options);
      const wanted = attendFromOne(query, [input, own], bias, options);
      expect(found.equal(wanted)).toBe(true);
      expect(farthest(found, plainAttendFromOne(query, [input, [keys, values, slots]], bias, options))).toBeLessThan(
        3e-6,
      );
      expect(farthest(found, plainAttendFromOne(query, [input, own], bias, options))).toBeLessThan(3e-6);
    }
    expect(() =>
      attendFromOne(query, [[keys.narrow(0, 0, 8), values.narrow(0, 0, 8), slots]], randn([1, 1, 1, 3], 9), {
        scale: 1,
      }),
    ).toThrow('there is no slot 8');
  });
});

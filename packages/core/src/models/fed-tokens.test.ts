import { randn, scope, type Tensor } from '@promot/torch';
import { expect, test } from 'vitest';
import { FedTokens } from './fed-tokens.js';

/** What a row of a part looks at, token by token: sums of its keys and values. */
function seen([keys, values, slots]: readonly [Tensor, Tensor, Tensor?], row: number): number[][] {
  const own = slots!.select(0, row).toNumbers();
  return own.map((slot) => [keys, values].map((t) => t.select(0, slot).sum().item()));
}

test('fed tokens follow their rows through more, fewer and other rows, and through all enlargements', () => {
  scope(() => {
    const fed = new FedTokens();
    // What each row has fed, kept in the plain way.
    let histories: number[][][] = [[]];
    let seed = 1;
    const rowsOf = [[0], [0, 0, 0], [2, 0, 1], [1, 1], [0, 0, 1, 1]];
    for (let step = 0; step < 60; step++) {
      const rows =
        step % 4 === 1 ? rowsOf[(step >> 2) % rowsOf.length]!.filter((row) => row < histories.length) : undefined;
      if (rows) {
        fed.reorder(rows);
        histories = rows.map((row) => [...histories[row]!]);
      }
      fed.grow(histories.length);
      expect([fed.rows, fed.length]).toEqual([histories.length, step + 1]);
      for (const layer of [0, 1]) {
        const [keys, values] = [randn([histories.length, 2, 1, 8], seed++), randn([histories.length, 2, 1, 8], seed++)];
        const part = fed.append(layer, keys, values);
        histories.forEach((history, row) => {
          if (layer === 0) history.push([keys, values].map((t) => t.select(0, row).sum().item()));
          else expect(seen(part, row).at(-1)).toEqual([keys, values].map((t) => t.select(0, row).sum().item()));
        });
        if (layer === 0) expect(histories.map((_, row) => seen(part, row))).toEqual(histories);
      }
    }
    fed.rewind([1], 3);
    fed.grow(1);
    const part = fed.append(0, randn([1, 2, 1, 8], 1), randn([1, 2, 1, 8], 2));
    expect(seen(part, 0).slice(0, 3)).toEqual(histories[1]!.slice(0, 3));
    fed.clear();
    expect([fed.rows, fed.length]).toEqual([0, 0]);
  });
});

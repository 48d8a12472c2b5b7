// Seeds as a function of places: fixed for all time, distinct, well spread.
import { describe, expect, test } from 'vitest';
import { deriveSeed } from './index.js';

describe('deriveSeed', () => {
  test('gives the same values for ever: runs of older versions resume with them', () => {
    const found = [[0], [1], [0, 0], [0, 1], [1, 0], [42, 7, 3], [2 ** 40 + 5, 2 ** 33], [-1, -1]].map(
      ([seed, ...places]) => deriveSeed(seed!, ...places),
    );
    expect(found).toEqual([
      4839680851633490, 93254099236242, 1228120016791450, 5464005200757392, 8515501490479181, 1246824110410635,
      7219642401744564, 8429041671699119,
    ]);
  });

  test('is a whole number of at most 53 bits', () => {
    for (let i = 0; i < 1000; i++) {
      const seed = deriveSeed(i, i * 7919, 2 ** 31 + i);
      expect(Number.isSafeInteger(seed) && seed >= 0).toBe(true);
    }
  });

  test('does not collide over steps, micro-batches and layers, nor over seeds', () => {
    const seen = new Set<number>();
    let count = 0;
    const add = (seed: number) => {
      seen.add(seed);
      count++;
    };
    for (let step = 0; step < 5000; step++)
      for (let micro = 0; micro < 4; micro++)
        for (let layer = 0; layer < 25; layer++) add(deriveSeed(17, step, micro, layer));
    for (let seed = 0; seed < 100_000; seed++) {
      add(deriveSeed(seed));
      add(deriveSeed(seed, 0));
      add(deriveSeed(0, 0, seed));
    }
    // 800,000 seeds of 53 bits: the chance of any collision is 4e-5.
    expect(seen.size).toBe(count);
  });

  test('low and high halves do not collide more than chance would have it', () => {
    const low = new Set<number>();
    const high = new Set<number>();
    const places = 100_000;
    for (let step = 0; step < places / 10; step++)
      for (let layer = 0; layer < 10; layer++) {
        const seed = deriveSeed(3, step, layer);
        low.add(seed % 2 ** 32);
        high.add(Math.floor(seed / 2 ** 32));
      }
    // Of 2^32 values about 1.2 are hit twice; of the 2^21 of the high half, 2^21 (1 - exp(-n / 2^21)) are expected to
    // be seen.
    expect(places - low.size).toBeLessThan(10);
    const expected = 2 ** 21 * (1 - Math.exp(-places / 2 ** 21));
    expect(Math.abs(high.size - expected)).toBeLessThan(300);
  });

  test('every bit is set half the time, and flips half the time when a place moves by one', () => {
    const bits = (seed: number) => seed.toString(2).padStart(53, '0');
    const set = new Array(53).fill(0) as number[];
    const flipped = new Array(53).fill(0) as number[];
    const rounds = 4000;
    for (let i = 0; i < rounds; i++) {
      const [here, next] = [bits(deriveSeed(9, i, 2)), bits(deriveSeed(9, i + 1, 2))];
      for (let b = 0; b < 53; b++) {
        if (here[b] === '1') set[b]!++;
        if (here[b] !== next[b]) flipped[b]!++;
      }
    }
    // Six standard deviations of a fair coin.
    const bound = 6 * Math.sqrt(0.25 / rounds);
    for (let b = 0; b < 53; b++) {
      expect(Math.abs(set[b]! / rounds - 0.5), `bit ${b}`).toBeLessThan(bound);
      expect(Math.abs(flipped[b]! / rounds - 0.5), `bit ${b}`).toBeLessThan(bound);
    }
  });

  test('the order and the number of places matter', () => {
    expect(deriveSeed(5, 1, 2)).not.toBe(deriveSeed(5, 2, 1));
    expect(deriveSeed(5)).not.toBe(deriveSeed(5, 0));
    expect(deriveSeed(5, 0)).not.toBe(deriveSeed(5, 0, 0));
    expect(deriveSeed(5, 2 ** 32)).not.toBe(deriveSeed(5, 0));
  });
});

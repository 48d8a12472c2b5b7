import { describe, expect, test } from 'vitest';
import { drawInteger, permutation, RandomStream } from './random.js';

describe('permutation', () => {
  test('holds every index once and depends on seed and epoch', () => {
    const first = permutation(1000, 7, 0);
    expect([...first].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(permutation(1000, 7, 0)).toEqual(first);
    expect(permutation(1000, 7, 1)).not.toEqual(first);
    expect(permutation(1000, 8, 0)).not.toEqual(first);
    expect(permutation(0, 1)).toHaveLength(0);
  });

  test('these exact values are part of the file format: old runs resume with them', () => {
    expect([...permutation(10, 0, 0)]).toMatchInlineSnapshot(`
      [
        1,
        3,
        8,
        2,
        4,
        6,
        7,
        5,
        9,
        0,
      ]
    `);
    expect(drawInteger(1_000_000, 1, 2, 3)).toMatchInlineSnapshot(`461656`);
  });

  test('first elements are uniform over seeds (chi-square)', () => {
    const counts = new Array<number>(10).fill(0);
    for (let seed = 0; seed < 10_000; seed++) counts[permutation(10, seed, 3)[0]!]!++;
    const chiSquare = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    expect(chiSquare).toBeLessThan(27.9); // 0.999 quantile at 9 degrees of freedom
  });
});

describe('draws', () => {
  test('neighbouring places give unrelated, uniform draws', () => {
    const counts = new Array<number>(16).fill(0);
    for (let step = 0; step < 100; step++) {
      for (let index = 0; index < 160; index++) counts[drawInteger(16, 0, step, index)]!++;
    }
    const chiSquare = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    expect(chiSquare).toBeLessThan(37.7); // 0.999 quantile at 15 degrees of freedom
  });

  test('large, negative and merely longer keys are keys of their own', () => {
    const keys = [[0], [0, 0], [2 ** 40], [-1], [-(2 ** 40)], [1], [2 ** 32]];
    expect(new Set(keys.map((key) => new RandomStream(...key).next())).size).toBe(keys.length);
    expect(() => new RandomStream(0.5)).toThrow(RangeError);
    expect(() => new RandomStream(0).integer(0)).toThrow(RangeError);
  });
});

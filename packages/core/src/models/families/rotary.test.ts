// Rotary positions under every scaling against Transformers' own frequencies (golden/rotary.py).
import { readFileSync } from 'node:fs';
import { rotate, zeros } from '@promot/torch';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../base/errors.js';
import { Rope } from '../decoder/rope.js';
import { type RotaryKeys, rotaryOf } from './rotary.js';

const golden = JSON.parse(readFileSync(new URL('../../../golden/rotary.json', import.meta.url), 'utf8')) as {
  headWidth: number;
  positions: number;
  cases: { keys: RotaryKeys; length: number; attention: number; frequencies: number[] }[];
};
const facts = { headWidth: golden.headWidth, positions: golden.positions, base: 10_000, place: 'config.json' };

/** What a head of ones becomes at a place: cos - sin in its first half, cos + sin in the second. */
function onesTurned(rope: Rope, place: number, whole: number): number[] {
  const ones = zeros([1, 1, 1, golden.headWidth]).add(1);
  const { cos, sin, planes } = rope.at({ places: [place], rows: 1, length: 1, whole }, ones);
  return rotate(ones, cos, sin, planes).toNumbers();
}

describe.each(golden.cases.map((one) => ({ ...one, title: JSON.stringify(one.keys) })))(
  '$title, $length places',
  ({ keys, length, attention, frequencies }) => {
    test('turns as Transformers does', () => {
      const found = onesTurned(new Rope(rotaryOf(keys, facts)), 7, length);
      const half = frequencies.length;
      const wanted = Array.from({ length: 2 * half }, (_, i) => {
        const angle = 7 * frequencies[i % half]!;
        return attention * (i < half ? Math.cos(angle) - Math.sin(angle) : Math.cos(angle) + Math.sin(angle));
      });
      found.forEach((x, i) => {
        expect(x).toBeCloseTo(wanted[i]!, 5);
      });
    });
  },
);

test('a scaling that follows the length refuses an answer that passes the limit', () => {
  const keys = golden.cases.find(({ keys }) => keys.rope_type === 'longrope')!.keys;
  const rope = new Rope(rotaryOf(keys, facts));
  rope.checkSame(60, 64);
  rope.checkSame(70, 90);
  expect(() => rope.checkSame(60, 65)).toThrow(/grows beyond 64 places .* \("longrope"\)/u);
  const dynamic = new Rope(rotaryOf({ rope_type: 'dynamic', factor: 2 }, facts));
  dynamic.checkSame(100, 128);
  expect(() => dynamic.checkSame(200, 201)).toThrow(UserError);
});

test('a part of a head is turned only where the family has it; the rest stays', () => {
  const keys = { partial_rotary_factor: 0.5 };
  expect(() => rotaryOf(keys, facts)).toThrow(/partial_rotary_factor is 0.5; models of this family turn whole heads/u);
  const found = onesTurned(new Rope(rotaryOf(keys, { ...facts, partial: true })), 7, 8);
  expect(found.slice(8)).toEqual(Array(8).fill(1));
  expect(found.slice(0, 8)).not.toContain(1);
});

test('factors of another number than frequencies are refused', () => {
  const keys = { rope_type: 'longrope', short_factor: [1, 2], long_factor: [1, 2] };
  expect(() => rotaryOf(keys, facts)).toThrow(/short_factor has 2 numbers, the rotary positions need 8/u);
});

// `promot doctor --check` on the CPU, and what it says of a device that computes something else.
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { checkDevice, storedValues } from './check.js';

const golden = new URL('../../../core/golden/models/', import.meta.url);

test('every family, and all else, is as it should be on the CPU; another loss or token is named', async () => {
  const { families, ...file } = storedValues();
  expect(families.map(({ name }) => name)).toEqual(readdirSync(golden).sort());
  const [first, second] = families as [(typeof families)[number], (typeof families)[number]];
  const wrong = [
    { ...first, name: 'another loss', fp32: { ...first.fp32, loss: first.fp32.loss * 1.01 } },
    { ...second, name: 'another token', fp32: { ...second.fp32, beams: [[1], [2]] } },
  ];
  const results = await checkDevice('cpu', () => {}, { ...file, families: [...families, ...wrong] });
  expect(results.length).toBe(2 * (families.length + wrong.length) + 8);
  const bad = results.filter(({ ok }) => !ok);
  expect(bad.map(({ name }) => name)).toEqual(['another loss, float32', 'another token, float32']);
  expect(bad[0]!.found).toMatch(/^loss: number 1 is /);
  expect(bad[1]!.found).toMatch(/^beams: /);
}, 300_000);

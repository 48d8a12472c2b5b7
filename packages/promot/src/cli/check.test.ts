// `promot doctor --check` on the CPU, and what it says of a device that computes something else.
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { checkDevice, storedValues } from './check.js';

const golden = new URL('../../../core/golden/models/', import.meta.url);

describe('doctor --check', { timeout: 300_000 }, () => {
  test('every family, and all else, is as it should be on the CPU', async () => {
    const { families } = storedValues();
    expect(families.map(({ name }) => name)).toEqual(readdirSync(golden).sort());
    const results = await checkDevice('cpu', () => {});
    expect(results.filter(({ ok }) => !ok)).toEqual([]);
    expect(results.length).toBe(2 * families.length + 6);
  });

  test('another loss, another token: it names them', async () => {
    const { families, ...file } = storedValues();
    const [first, second] = families as [(typeof families)[number], (typeof families)[number]];
    const wrong = [
      { ...first, fp32: { ...first.fp32, loss: first.fp32.loss * 1.01 } },
      { ...second, fp32: { ...second.fp32, beams: [[1], [2]] } },
    ];
    const results = await checkDevice('cpu', () => {}, { ...file, families: wrong });
    const bad = results.filter(({ ok }) => !ok);
    expect(bad.map(({ name }) => name)).toEqual([`${first.name}, float32`, `${second.name}, float32`]);
    expect(bad[0]!.found).toMatch(/^loss: number 1 is /);
    expect(bad[1]!.found).toMatch(/^beams: /);
  });
});

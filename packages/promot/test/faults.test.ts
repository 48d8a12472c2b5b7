// A short form of `npm run faults`: each campaign for some seconds.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const script = fileURLToPath(new URL('../../../scripts/faults.mjs', import.meta.url));

test.each([
  ['fuzz', 0.2, /: [1-9]\d* files, \d+ read, \d+ refused, 0 faults of 0 sorts/u],
  ['damage', 0.2, /: [1-9]\d* files, \d+ read, \d+ refused, 0 faults of 0 sorts/u],
  ['hub', 0.1, /: [1-9]\d* cases, .* 0 faults/u],
  ['addon', 0.05, /addon, seed 1: [1-9]\d* calls .* 0 faults/u],
  ['leak', 0.1, /leak: [1-9]\d* steps of training .* 0 faults/u],
  ['kill', 0.1, /: [1-9]\d* runs, [1-9]\d* kills.* 0 faults/u],
  ['checkpoints', 0.1, /: [1-9]\d* runs, [1-9]\d* kills.* 0 faults/u],
  ['ranks', 0.1, /: [1-9]\d* runs, [1-9]\d* kills.* 0 faults/u],
] as const)('%s finds nothing', { timeout: 900_000 }, (name, minutes, expected) => {
  const output = execFileSync(process.execPath, [script, name, '--minutes', String(minutes)], { encoding: 'utf8' });
  expect(output).toMatch(expected);
});

// A short form of `npm run faults`: both campaigns over damaged files for twelve seconds each, and a run or two that are
// killed.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const script = fileURLToPath(new URL('../../../scripts/faults.mjs', import.meta.url));

test.each(['fuzz', 'damage'])('%s finds nothing in twelve seconds', { timeout: 600_000 }, (name) => {
  const output = execFileSync(process.execPath, [script, name, '--minutes', '0.2'], { encoding: 'utf8' });
  expect(output).toMatch(/: \d+ files, \d+ read, \d+ refused, 0 faults of 0 sorts/u);
});

test.each(['kill', 'checkpoints'])(
  '%s: runs come to the bytes of those that nobody hurt',
  { timeout: 900_000 },
  (name) => {
    const output = execFileSync(process.execPath, [script, name, '--minutes', '0.1'], { encoding: 'utf8' });
    expect(output).toMatch(/: [1-9]\d* runs, [1-9]\d* kills.* 0 faults/u);
  },
);

// The counts of golden/compared.json belong to test files that are there and count.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { fewest } from './compared.js';
import { goldenModels } from './golden-folders.js';

test.each(Object.keys(fewest))('%s counts what it compares', (file) => {
  const text = readFileSync(fileURLToPath(new URL(`../${file}`, import.meta.url)), 'utf8');
  expect(text).toContain(`countCompared('${file}'`);
  for (const count of Object.values(fewest[file]!)) expect(count).toBeGreaterThan(0);
});

test('every golden model has its counts', () => {
  for (const file of ['test/golden-models.test.ts', 'src/generation/golden.test.ts'])
    expect(Object.keys(fewest[file]!).sort()).toEqual(goldenModels);
});

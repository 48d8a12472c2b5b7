import { configKeys } from '@promot/core/train';
import { expect, test } from 'vitest';
import { promot } from '../../test/command-line.js';

test('the help of train names every setting with its default', async () => {
  const { out, code } = await promot('help', 'train');
  expect(code).toBe(0);
  for (const key of configKeys().filter((one) => !one.endsWith('.lowerRate'))) expect(out).toContain(` ${key}=`);
  expect(out).toContain('stage1.steps=5000');
  expect(out).toContain('batchSize=64');
  expect(out).not.toContain('undefined');
});

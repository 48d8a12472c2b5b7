// `promot reproduce real` as a person meets it: what would be done, what is refused. Trains nothing.
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { promot } from '../../test/command-line.js';
import type { RealCost } from '../experiments/real/cost.js';

const real = (...args: string[]) =>
  promot('reproduce', 'real', '--model', 'no/model', '--data', 'no/data', '--out', 'no/such/folder', ...args);

test('a dry run says arms, steps, looks and hours, and writes nothing', async () => {
  const { code, out } = await real('--dry-run', '--only', 'snli');
  expect(code).toBe(0);
  expect(out).toMatch(/^promot-0\.00001 +240 +4 +\d+ h/mu);
  expect(out).toMatch(/snli: 11 arms, \d+ h .*\(one AVX2 core, fp32\)/u);
  expect(existsSync('no/such/folder')).toBe(false);
});

test('sizes, settings in place of theirs, targets and groups', async () => {
  const dry = async (...args: string[]) =>
    JSON.parse((await real('--dry-run', '--json', ...args)).out) as Record<string, RealCost>;
  const small = await dry();
  expect(Object.keys(small)).toEqual(['snli', 'rte', 'multi30k-en-fr', 'wic', 'json']);
  const full = await dry('--set', 'size=full', 'seeds=2', '--only', 'rte');
  const arm = (name: string) => full.rte!.arms.find((one) => one.arm === name);
  expect(arm('eaft-0.00001')).toMatchObject({ steps: { prompt: 0, model: 480 }, looks: 24, done: false });
  expect(arm('promot-0.00001-seed-1')).toBeDefined();
  expect(arm('promot-0.00001-seed-2')).toBeUndefined();
  expect(arm('eaft-0.00001-seed-1')).toBeUndefined();
  expect((await dry('--only', 'wic,why')).wic!.arms.map((one) => one.arm)).toContain('absorbed-rows-5');
});

test.each([
  [
    'an arm that there is not',
    ['--only', 'fine-tune-7'],
    /--only fine-tune-7: the targets are snli, .*; the arms before/u,
  ],
  ['a setting that there is not', ['--set', 'lok=20'], /lok/u],
  ['what belongs to other experiments', ['--methods', 'promot'], /reproduce real: it has no --methods/u],
])('refused: %s', async (_what, args, message) => {
  const { code, err } = await real('--dry-run', ...args);
  expect(code).toBe(2);
  expect(err).toMatch(message);
});

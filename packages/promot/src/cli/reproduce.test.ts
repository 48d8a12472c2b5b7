// `promot reproduce` as a person meets it: the list, what would be done, what is refused. Trains nothing.
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { promot } from '../../test/command-line.js';
import type { List } from '../experiments/cost.js';

test('alone it lists every result with its costs, for people and for machines', async () => {
  const { code, out } = await promot('reproduce');
  expect(code).toBe(0);
  for (const name of ['supervised', 'table-11', 'figure-7'])
    expect(out).toMatch(new RegExp(`^${name} +\\d+ +\\d+ .* min .* h `, 'mu'));
  const list = JSON.parse((await promot('reproduce', '--json')).out) as List;
  expect(list.experiments.find(({ name }) => name === 'table-10')!.costs.paper!.model).toBe('meta-llama/Llama-3.1-8B');
});

test('a dry run says what is to be done and writes nothing', async () => {
  const { code, out } = await promot(
    'reproduce',
    'table-3',
    '--dry-run',
    '--out',
    'no/such/folder',
    '--set',
    'seeds=2',
  );
  expect(code).toBe(0);
  expect(out).toContain('table-3 at scale lab on lab: 12 training runs (0 done)');
  expect(existsSync('no/such/folder')).toBe(false);
});

test('a part of an experiment: fewer rows, fewer shots, the same jobs', async () => {
  const dry = async (...args: string[]) =>
    JSON.parse((await promot('reproduce', ...args, '--dry-run', '--json', '--out', 'no/such/folder')).out) as {
      jobs: { name: string }[];
    };
  const whole = (await dry('rte')).jobs.map(({ name }) => name);
  const part = (await dry('rte', '--methods', 'pretrained,promot', '--shots', '1')).jobs.map(({ name }) => name);
  expect(part.filter((name) => name.includes('4-shot') || name.includes('fine-tune'))).toEqual([]);
  expect(part).toHaveLength(5);
  for (const name of part) expect(whole).toContain(name);
  expect((await dry('figure-1', '--methods', 'promot')).jobs).toHaveLength(1);
});

test('wrong names and settings are refused', async () => {
  for (const [args, message] of [
    [['table-33'], 'did you mean table-3'],
    [['rte', '--scale', 'big'], 'unknown scale "big"'],
    [['rte', '--set', 'seed=3'], 'unknown setting seed (did you mean "seeds"?)'],
    [['rte', '--set', 'seeds=0'], 'setting seeds'],
    [['rte', '--set', 'stage1.step=3'], 'did you mean "stage1.steps"'],
    [['rte', '--set', 'stage1.steps=none'], 'stage1.steps'],
    [['rte', '--methods', 'promt'], 'rte has no method "promt" (did you mean "promot"?): it has pretrained, '],
    [['rte', '--methods', ','], 'needs at least one method'],
    [['rte', '--shots', '2'], 'rte is not evaluated 2-shot: it has 1, 4'],
    [['figure-1', '--shots', '1'], 'figure-1 is not evaluated with different shots'],
  ] as const) {
    const { code, err } = await promot('reproduce', ...args);
    expect(code).toBe(2);
    expect(err).toContain(message);
  }
});

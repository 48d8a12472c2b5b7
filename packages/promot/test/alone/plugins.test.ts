// Plugins: what they register is there for every command; what is wrong with one is said in a line.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { takePlugins } from '../../src/cli/plugins.js';
import { promot } from '../command-line.js';

const folder = mkdtempSync(join(tmpdir(), 'promot-plugin-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

const own = file(
  'own.mjs',
  `export default ({ registerMetric, registerMethod, registerObjective, registerTask, registerModel, metrics }) => {
    const stages = [{ name: 'model', settings: 'stage2', trains: ['model'] }];
    registerMethod({ name: 'own-method', summary: 'mine', stages });
    registerObjective({ name: 'own-loss', summary: 'mine', loss: ({ logits }) => logits.sum() });
    registerTask({ name: 'own-task', version: '1', metric: 'accuracy', evaluationSplits: ['test'] });
    registerModel({ name: 'own-model', folder: () => ${JSON.stringify(folder)} });
    registerMetric({ ...metrics.get('accuracy'), name: 'own-metric' });
  };\n`,
);

test('what a plugin registers is found by the commands', async () => {
  expect((await promot('train', '--help', '--plugin', own)).out).toContain('own-method: mine');
  const asked = ['train', '--model', 'own-model', '--method', 'own-method', '--out', join(folder, 'run')];
  const { code, err } = await promot(`--plugin=${own}`, ...asked, '--task', 'own-task');
  expect([code, err]).toEqual([2, expect.stringContaining('task own-task needs its data')]);
  const wrong = await promot(...asked, '--task', 'own-tsk', '--plugin', own);
  expect(wrong).toMatchObject({ code: 2, err: expect.stringContaining('did you mean own-task') });
});

test('a run of a method that no plugin has brought names the flag', async () => {
  const run = mkdtempSync(join(folder, 'run-'));
  writeFileSync(join(run, 'run.json'), JSON.stringify({ method: 'absent', model: 'lab', task: 'lab-rte', config: {} }));
  const { code, err } = await promot('train', '--resume', run);
  expect([code, err]).toEqual([2, expect.stringContaining('name it again with --plugin FILE.js')]);
});

describe('a plugin at fault is told in a line', () => {
  test.each([
    ['a missing file', join(folder, 'missing.js'), /missing\.js: no such file/],
    [
      'one that fails',
      file('fails.mjs', 'export default () => { throw new Error("no data here"); };\n'),
      /no data here/,
    ],
    ['no function', file('none.mjs', 'export const a = 1;\n'), /its default export is no function/],
    ['a slip', file('slip.mjs', 'export default (;\n'), /slip\.mjs: /],
    [
      'a name that is taken',
      file('taken.mjs', "export default (p) => p.registerMethod({ ...p.findMethod('promot') });\n"),
      /already/,
    ],
  ])('%s', async (_name, path, message) => {
    const { code, err } = await promot('metric', '--plugin', path);
    expect(code).toBe(2);
    expect(err).toMatch(message);
    expect(err.trim().split('\n')).toHaveLength(1);
  });
});

test('the flag is taken out of the command line, wherever it stands', () => {
  expect(takePlugins(['--plugin', 'a.js', 'train', '--plugin=b.js', '--json'])).toEqual({
    plugins: ['a.js', 'b.js'],
    rest: ['train', '--json'],
  });
  expect(() => takePlugins(['train', '--plugin'])).toThrow(/needs a file/);
  expect(() => takePlugins(['--plugin', '--json'])).toThrow(/needs a file/);
});

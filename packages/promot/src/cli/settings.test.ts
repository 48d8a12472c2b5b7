// What --set and --config make of values.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UserError } from '@promot/core/base';
import { expect, test } from 'vitest';
import { readSettings } from './settings.js';

test.each<[string, unknown]>([
  ['keep.tasks=[web-questions,trivia-qa]', { keep: { tasks: ['web-questions', 'trivia-qa'] } }],
  ['keep.tasks=[]', { keep: { tasks: [] } }],
  ['keep.tasks=[wic, tasks/own.yaml]', { keep: { tasks: ['wic', 'tasks/own.yaml'] } }],
  ['keep.tolerance=null', { keep: { tolerance: null } }],
  ['mixing.rte=2.5', { mixing: { rte: 2.5 } }],
  ['mixing=size', { mixing: 'size' }],
  ['promptInit=text:[a] or b', { promptInit: 'text:[a] or b' }],
  ['promptInit=', { promptInit: '' }],
  ['promptInit={a: 1}', { promptInit: '{a: 1}' }],
  ['promptInit=*nope', { promptInit: '*nope' }],
  ['replay.tasks=[*x]', { replay: { tasks: '[*x]' } }],
])('--set %s', (flag, expected) => {
  expect(readSettings({ set: [flag] }, () => {})).toEqual(expected);
});

test('YAML says the same', () => {
  const folder = mkdtempSync(join(tmpdir(), 'promot-settings-'));
  const config = join(folder, 'settings.yaml');
  writeFileSync(config, 'keep:\n  tasks: [web-questions, trivia-qa]\n  tolerance: 2\nmixing: { rte: 2, wic: 1 }\n');
  expect(readSettings({ config, set: ['keep.tolerance=null'] }, () => {})).toEqual({
    keep: { tasks: ['web-questions', 'trivia-qa'], tolerance: null },
    mixing: { rte: 2, wic: 1 },
  });
  rmSync(folder, { recursive: true });
});

test('an alias without an anchor is refused with file and line', () => {
  const folder = mkdtempSync(join(tmpdir(), 'promot-settings-'));
  const config = join(folder, 'settings.yaml');
  writeFileSync(config, 'seed: 1\nreplay: {tasks: [*x]}\n');
  const read = () => readSettings({ config }, () => {});
  expect(read).toThrow(UserError);
  expect(read).toThrow(`${config} line 2: Unresolved alias`);
  rmSync(folder, { recursive: true });
});

import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { ones } from '../creation.js';
import { endPreload, preload } from './preload.js';

test('tensors live on when the thread that loaded libtorch has ended', async () => {
  preload();
  const one = ones([3]);
  await endPreload();
  preload(); // does nothing any more
  await endPreload();
  expect(one.add(ones([3])).toNumbers()).toEqual([2, 2, 2]);
  one.dispose();
});

test.each([
  ['has nothing more to do', 'setTimeout(() => {}, 150)'],
  ['is told to end', 'setTimeout(() => process.exit(), 150)'],
])('a process that %s while libtorch loads ends well', (_, then) => {
  const compiled = new URL('../../dist/setup/index.js', import.meta.url).href;
  const program = `import { preload } from ${JSON.stringify(compiled)}; preload(); ${then};`;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, '']);
});

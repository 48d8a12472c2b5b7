// `promot launch`: several processes of one command; rank 0 speaks, the others write a log, and their end is the
// launcher's.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { smallModel, smallTask } from '../../core/test/small-task.js';

const { folder, task } = smallTask();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const bin = fileURLToPath(new URL('../bin/promot.js', import.meta.url));

function promot(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const running = spawn(process.execPath, [bin, ...args]);
    const said = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const)
      running[stream].on('data', (text) => {
        said[stream] += text;
      });
    running.on('close', (code) => resolve({ code, ...said }));
  });
}

const train = (out: string, ...more: string[]) => [
  'train',
  '--model',
  smallModel(),
  '--task',
  task,
  '--method',
  'fine-tune',
  '--out',
  join(folder, out),
  '--set',
  'precision=fp32',
  'beams=1',
  'stage2.steps=2',
  'stage2.keepEvery=2',
  'microBatchSize=4',
  ...more,
];

test('two processes train and evaluate together; only rank 0 speaks', async () => {
  const trained = await promot('launch', '--processes', '2', ...train('run'), '--json');
  expect([trained.code, trained.stderr]).toEqual([0, expect.any(String)]);
  expect(trained.stderr).toContain('Rank 0 of 2 processes');
  expect(trained.stderr).not.toContain('Rank 1');
  expect(JSON.parse(trained.stdout)).toMatchObject({ finished: true });
  expect(readFileSync(join(folder, 'run.rank1.log'), 'utf8')).toMatch(/^Rank 1 of 2 processes[\s\S]*"finished":true/);
  const evaluated = await promot(
    'launch',
    '--processes',
    '2',
    'eval',
    '--model',
    join(folder, 'run'),
    '--task',
    task,
    '--json',
  );
  expect(JSON.parse(evaluated.stdout)).toMatchObject({ task: 'colours', n: 6 });
  expect(evaluated.code).toBe(0);
  const inputs = join(folder, 'inputs.txt');
  writeFileSync(inputs, 'one\ntwo words\nthree words here\n');
  const asked = ['generate', '--model', join(folder, 'run'), '--input', `@${inputs}`, '--set', 'batchSize=1', '--json'];
  const [together, alone] = [await promot('launch', '--processes', '2', ...asked), await promot(...asked)];
  expect([together.code, together.stderr]).toEqual([0, expect.any(String)]);
  expect(JSON.parse(together.stdout)).toEqual(JSON.parse(alone.stdout));
});

test('an error ends all processes with its exit code, and is said once', async () => {
  const { code, stdout, stderr } = await promot('launch', '--processes', '2', ...train('bad', 'maxInputLength=-1'));
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr.match(/error: /g)).toHaveLength(1);
  expect(existsSync(join(folder, 'bad'))).toBe(false);
});

test('what cannot be started is refused', async () => {
  expect(await promot('launch', '--processes', '2', 'serve')).toMatchObject({
    code: 2,
    stderr: 'error: launch starts train, eval, generate or reproduce, whose work can be divided, not serve\n',
  });
  expect(await promot('launch', '--processes', '2', '--nodes', '2', 'train')).toMatchObject({
    code: 2,
    stderr: 'error: --nodes needs --master-addr, the name of machine 0\n',
  });
});

// What becomes of a command that fails with a bar on the screen.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { GenerateOptions } from '@promot/core/generation';
import { expect, test, vi } from 'vitest';
import { Collect } from '../../test/command-line.js';
import { runCli } from './program.js';

vi.mock('@promot/core/generation', async (original) => ({
  ...(await original<object>()),
  generateTexts: async (_model: unknown, _inputs: unknown, { onProgress }: GenerateOptions) => {
    onProgress?.(1, 2);
    throw new Error('it broke');
  },
}));

test('an error ends the bar: the cursor is back', async () => {
  const stderr = Object.assign(new Collect(), {
    isTTY: true,
    columns: 100,
    // What cli-progress asks of a terminal.
    cursorTo: () => true,
    clearLine: () => true,
    moveCursor: () => true,
  });
  const model = join(fileURLToPath(new URL('../../../core/golden/models', import.meta.url)), 't5-v1.1');
  const io = { stdout: new Collect(), stderr, exitCode: 0 };
  expect(await runCli(['generate', '--model', model, '--input', 'The river'], io)).toBe(1);
  expect(stderr.text).toContain('generate [');
  expect(stderr.text).toContain('\u001b[?25h');
  expect(stderr.text).toContain('promot failed: it broke');
});

test('a reader who goes early leaves the exit code as it is, also while libtorch loads', async () => {
  const program = fileURLToPath(new URL('../../bin/promot.js', import.meta.url));
  const args = [program, 'train', '--no-such-flag'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  child.stderr.destroy();
  expect(await once(child, 'exit')).toEqual([2, null]);
});

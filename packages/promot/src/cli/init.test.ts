import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, expect, test } from 'vitest';
import { Collect } from '../../test/command-line.js';
import { runCli } from './program.js';

const folder = mkdtempSync(join(tmpdir(), 'promot-init-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const data = join(folder, 'mail.csv');
writeFileSync(
  data,
  `text,team\n${Array.from({ length: 20 }, (_, i) => `mail ${i},${['a', 'b'][i % 2]}`).join('\n')}\n`,
);

async function init(
  answers: readonly string[],
  ...flags: string[]
): Promise<{ code: number; out: string; err: string }> {
  const [stdout, stderr] = [new Collect(), new Collect()];
  const stdin = Readable.from([answers.map((answer) => `${answer}\n`).join('')]);
  const code = await runCli(['init', ...flags], { stdin, stdout, stderr, exitCode: 0 });
  return { code, out: stdout.text, err: stderr.text };
}

test('questions, then a task file', async () => {
  const path = join(folder, 'mail.yaml');
  const { code, out, err } = await init([data, '{text} Team?', ''], '--out', path);
  expect(err).toContain('It has {text}, {team}. The first row:');
  expect(err).toContain('What should it answer? [{team}]');
  expect(code).toBe(0);
  expect(out).toContain(`train --model google/flan-t5-small --task ${path}`);
  expect(readFileSync(path, 'utf8')).toMatch(/^input: "\{text\} Team\?"\ntarget: "\{team\}"$/m);
  const again = await init([data, '', ''], '--out', path);
  expect([again.code, again.err]).toEqual([2, expect.stringContaining('is there already')]);
});

test('an answer that cannot be used is asked for again', async () => {
  const path = join(folder, 'again.yaml');
  const taken = join(folder, 'taken.yaml');
  writeFileSync(taken, '');
  const { code, err } = await init([join(folder, 'none.csv'), data, '{txt}', '', '{text}', '', taken, path]);
  expect(code).toBe(0);
  for (const said of ['no such data file', 'names {txt}', 'is there already']) expect(err).toContain(said);
  expect(readFileSync(path, 'utf8')).toContain('input: "{text}"');
});

test('no answer, or one that does not fit', async () => {
  expect(await init([])).toMatchObject({ code: 2, err: expect.stringContaining('nothing is written') });
  expect(await init([join(folder, 'none.csv')])).toMatchObject({
    code: 2,
    err: expect.stringContaining('no such data file'),
  });
  const wrong = await init([data, '{txt}', ''], '--out', join(folder, 'wrong.yaml'));
  expect(wrong).toMatchObject({ code: 2, err: expect.stringContaining('names {txt}') });
});

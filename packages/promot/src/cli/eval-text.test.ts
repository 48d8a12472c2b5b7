// `promot eval --text` as a person or a script meets it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { promot } from '../../test/command-line.js';

const model = fileURLToPath(new URL('../../../core/golden/models/llama', import.meta.url));
let folder: string;
let lines: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'promot-cli-text-'));
  lines = join(folder, 'held-out.jsonl');
  writeFileSync(lines, '{"text":"It rained all day."}\n{"text":"Rivers rose."}\n{"text":"Nobody came."}\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('bits a byte, and the distance from the model before: none from itself, some behind a soft prompt', async () => {
  const own = await promot('eval', '--model', model, '--text', lines, '--base', model, '--json');
  expect(own).toMatchObject({ code: 0, err: '' });
  const plain = JSON.parse(own.out);
  expect(plain).toMatchObject({ documents: 3, bytes: 42, divergence: 0, signature: expect.stringContaining('512') });
  expect(plain.bitsPerByte).toBeGreaterThan(1);
  const flags = ['--model', model, '--prompt', join(model, 'prompt'), '--text', lines, '--limit', '2'];
  const prompted = JSON.parse((await promot('eval', ...flags, '--base', model, '--json')).out);
  expect(prompted).toMatchObject({ documents: 2, bytes: 30 });
  expect(prompted.divergence).toBeGreaterThan(0);
  const page = await promot('eval', ...flags, '--set', 'window=4');
  expect(page.out).toMatch(/^text +2 documents, 30 bytes, \d+ tokens\nbits a byte +\d+\.\d{4} {2}\(95 %/u);
  expect(page.out).toContain('window:4');
});

test.each<[RegExp, string[]]>([
  [/name either --task or --text/u, []],
  [/name either --task or --text/u, ['--text', 'a.txt', '--task', 'rte']],
  [/--shots goes with --task/u, ['--text', 'a.txt', '--shots', '1']],
  [/--base goes with --text/u, ['--task', 'lab-rte', '--base', 'lab']],
  [/cannot read .*none\.txt/u, ['--text', 'none.txt']],
  [/unknown setting beams/u, ['--text', 'README.md', '--set', 'beams=1']],
])('refused: %s', async (pattern, flags) => {
  const refused = await promot('eval', '--model', model, ...flags);
  expect(refused).toMatchObject({ code: 2, out: '', err: expect.stringMatching(pattern) });
});

// `promot merge` as a person or a script meets it.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { promot } from '../../test/command-line.js';

const golden = fileURLToPath(new URL('../../../core/golden/models', import.meta.url));
const model = join(golden, 't5-v1.1');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'promot-cli-merge-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const loss = async (...flags: string[]): Promise<number> =>
  JSON.parse((await promot('score', ...flags, '--input', 'The river', '--target', 'morning', '--json')).out).loss;

test("a PEFT adapter's model scores the same with its additions merged", async () => {
  const out = join(folder, 'merged');
  const made = await promot('merge', '--model', model, '--adapter', join(model, 'lora'), '--out', out, '--json');
  expect(made).toMatchObject({ code: 0, err: '' });
  expect(JSON.parse(made.out)).toEqual({ out, layers: 12 });
  const attached = await loss('--model', model, '--prompt', join(model, 'lora'));
  expect(await loss('--model', out)).toBeCloseTo(attached, 4);
  expect(Math.abs((await loss('--model', model)) - attached)).toBeGreaterThan(1e-3);
});

test.each<[RegExp, string, string]>([
  [/exists already/u, join(model, 'lora'), '.'],
  [/only LoRA can be merged/u, join(model, 'prompt'), 'new'],
  [/task_type is CAUSAL_LM, which is not for encoder-decoder models/u, join(golden, 'llama', 'lora'), 'new'],
  [/nowhere: no such/u, 'nowhere', 'new'],
])('bad input is refused with %s, and nothing is left', async (pattern, adapter, out) => {
  const before = readdirSync(folder);
  const refused = await promot('merge', '--model', model, '--adapter', adapter, '--out', join(folder, out));
  expect(refused).toMatchObject({ code: 2, out: '', err: expect.stringMatching(pattern) });
  expect(readdirSync(folder)).toEqual(before);
});

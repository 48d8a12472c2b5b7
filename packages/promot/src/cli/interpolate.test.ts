// `promot interpolate` as a person or a script meets it: answers, exit codes, messages.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { promot } from '../../test/command-line.js';

const golden = fileURLToPath(new URL('../../../core/golden/models', import.meta.url));
const t5 = join(golden, 't5-v1.1');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'promot-cli-interpolate-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Flags of a command line that works, with changes. */
const flags = (changes: Record<string, string> = {}) =>
  Object.entries({ '--model': t5, '--tuned': t5, '--factor': '0.3', '--out': join(folder, 'out'), ...changes }).flat();

test('makes a folder that the other commands take as a model', async () => {
  const out = join(folder, 'mixed');
  const made = await promot('interpolate', ...flags({ '--out': out }), '--json');
  expect(made).toMatchObject({ code: 0, err: '' });
  expect(JSON.parse(made.out)).toEqual({ out, factor: 0.3, parameters: expect.any(Number) });
  const scoreFlags = ['--input', 'The river', '--target', 'morning', '--json'];
  const [mixed, base] = await Promise.all(
    [out, t5].map(async (model) => JSON.parse((await promot('score', '--model', model, ...scoreFlags)).out)),
  );
  // A model mixed with itself is itself, up to rounding.
  expect(mixed.loss).toBeCloseTo(base.loss, 4);
  const again = await promot('interpolate', ...flags({ '--out': out }));
  expect(again).toMatchObject({ code: 2, out: '', err: expect.stringContaining(`${out} exists already`) });
});

test('says in text what it made', async () => {
  const out = join(folder, 'text');
  const { code, out: text } = await promot('interpolate', ...flags({ '--out': out }), '--set', 'precision=bf16');
  expect(code).toBe(0);
  expect(text).toMatch(/^\S+text: 70 % of \S+, 30 % of \S+\n\d+ parameters\n$/u);
});

test.each<[RegExp, Record<string, string>]>([
  [/number from 0 to 1/u, { '--factor': '1.5' }],
  [/number from 0 to 1/u, { '--factor': '' }],
  [/nowhere: no such model/u, { '--tuned': 'nowhere' }],
  [/model_type is "llama"/u, { '--tuned': join(golden, 'llama') }],
])('bad input is refused with %s', async (pattern, changes) => {
  const before = readdirSync(folder);
  const { code, out, err } = await promot('interpolate', ...flags(changes));
  expect(err).toMatch(pattern);
  expect({ code, out }).toEqual({ code: 2, out: '' });
  expect(err.trim().split('\n').length).toBeLessThanOrEqual(2);
  expect(readdirSync(folder)).toEqual(before);
});

test('what is missing is named', async () => {
  const { code, err } = await promot('interpolate', '--model', t5, '--out', join(folder, 'none'));
  expect({ code, made: existsSync(join(folder, 'none')) }).toEqual({ code: 2, made: false });
  expect(err).toContain('promot interpolate needs --tuned, --factor');
});

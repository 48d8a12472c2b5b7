// `promot generate --chat` and the dry run of conversations, on a golden model with a chat template.
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { Collect } from '../../test/command-line.js';
import { runCli } from './program.js';

const folder = mkdtempSync(join(tmpdir(), 'promot-chat-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const golden = fileURLToPath(new URL('../../../core/golden/', import.meta.url));
const model = join(folder, 'model');
cpSync(join(golden, 'models/qwen2'), model, { recursive: true });
cpSync(join(golden, 'chat/smollm2.jinja'), join(model, 'chat_template.jinja'));

async function promot(stdin: string, ...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const [stdout, stderr] = [new Collect(), new Collect()];
  const code = await runCli(words, { stdin: Readable.from([stdin]), stdout, stderr, exitCode: 0 });
  return { code, out: stdout.text, err: stderr.text };
}
const generate = (stdin: string, ...words: string[]) =>
  promot(stdin, 'generate', '--model', model, '--chat', '--max-new-tokens', '5', ...words, '--set', 'minNewTokens=5');

test('turns line by line: each sees those before it', async () => {
  const talk = await generate('river\n\nthe dog\n', '--json');
  expect(talk.code).toBe(0);
  const texts = talk.out
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { text: string }).text);
  expect(texts).toHaveLength(2);
  const alone = async (input: string, ...more: string[]) =>
    (JSON.parse((await generate('', '--input', input, '--json', ...more)).out) as { text: string }).text;
  expect(texts[0]).toBe(await alone('river'));
  expect(texts[1]).not.toBe(await alone('the dog'));
  expect(await alone('river', '--system', 'the dog runs')).not.toBe(texts[0]);
  // Without --json the text comes as it grows.
  expect((await generate('river\n')).out).toBe(`${texts[0]}\n`);
});

test('what does not fit together is refused', async () => {
  expect(await generate('', '--task', 'rte', '--record', '{}')).toMatchObject({
    code: 2,
    err: expect.stringContaining('--chat takes its turns from --input or line by line'),
  });
  expect(await promot('', 'generate', '--model', model, '--input', 'a', '--system', 'b')).toMatchObject({
    code: 2,
    err: expect.stringContaining('--system goes with --chat'),
  });
  expect(await generate('', '--input', 'a', '--model', join(golden, 'models/llama'))).toMatchObject({
    code: 2,
    err: expect.stringContaining('the model has no chat template'),
  });
});

test('a record of a chat task: its answer is asked for, whether the record has one or not', async () => {
  const asked = [{ role: 'user', content: 'river' }];
  writeFileSync(
    join(folder, 'ask.yaml'),
    'name: ask\nfiles: { test: none.jsonl }\nmessages: "{messages}"\nmetric: f1\n'.replace('none', 'rows'),
  );
  writeFileSync(
    join(folder, 'rows.jsonl'),
    `${JSON.stringify({ messages: [...asked, { role: 'assistant', content: 'a' }] })}\n`,
  );
  const of = async (messages: object[]) => {
    const words = ['--task', join(folder, 'ask.yaml'), '--record', JSON.stringify({ messages })];
    const settings = ['--max-new-tokens', '5', '--beams', '1', '--set', 'minNewTokens=5'];
    const { out, code, err } = await promot('', 'generate', '--model', model, ...words, ...settings);
    expect([code, err]).toEqual([0, '']);
    return out.trim();
  };
  const open = await of(asked);
  expect(await of([...asked, { role: 'assistant', content: 'a' }])).toBe(open);
  expect((await generate('', '--input', 'river')).out.trim()).toBe(open);
});

test('the dry run marks what carries loss', async () => {
  const row = JSON.stringify({
    messages: [
      { role: 'user', content: 'the' },
      { role: 'assistant', content: 'a b' },
    ],
  });
  writeFileSync(join(folder, 'rows.jsonl'), `${row}\n`);
  writeFileSync(
    join(folder, 'talk.yaml'),
    'name: talk\nfiles: { train: rows.jsonl, validation: rows.jsonl }\nmessages: "{messages}"\nmetric: f1\n',
  );
  const words = ['train', '--model', model, '--task', join(folder, 'talk.yaml'), '--method', 'promot'];
  const { out, code } = await promot(
    '',
    ...words,
    '--out',
    join(folder, 'run'),
    '--dry-run',
    '--set',
    'promptLength=3',
  );
  expect(code).toBe(0);
  expect(out).toContain('what carries loss is between « and »\n[3 prompt rows] <|im_start|>system');
  expect(out).toContain('<|im_start|>assistant\n«a b<|im_end|>»');
});

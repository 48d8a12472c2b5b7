// `promot serve` over real HTTP: what it answers, what it refuses, how it stops.
import '../lab/register.js';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { generateTexts, generateTurn } from '@promot/core/generation';
import { openModel, openPrompt } from '@promot/core/open';
import { train } from '@promot/core/train';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningServer, startServer } from './server.js';
import { Service } from './service.js';

const golden = fileURLToPath(new URL('../../../core/golden/models/t5-v1.1', import.meta.url));
const question = 'Q: What is the capital of Draonia? A:';
/** What the model knows. */
let town: string;
let service: Service;
let server: RunningServer;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'promot-serve-'));
  service = await Service.open({ model: 'lab', tasks: ['lab-reading'] });
  [town = ''] = await generateTexts(service.loaded, [question], { beams: 1, maxNewTokens: 8 });
  server = await startServer(service, { host: '127.0.0.1', port: 0, waiting: 2 });
});
afterAll(async () => {
  await server.close();
  service.dispose();
  rmSync(folder, { recursive: true, force: true });
});

async function ask(path: string, body?: unknown, at = server) {
  const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body), headers: json };
  const response = await fetch(at.url + path, init);
  return { status: response.status, body: (await response.json()) as Answer };
}
interface Answer {
  readonly [key: string]: unknown;
  readonly choices: readonly { readonly text: string; readonly finish_reason: string }[];
  readonly usage: Readonly<Record<string, number>>;
  readonly error: { readonly code: string; readonly message: string };
  readonly data: readonly { readonly id: string }[];
}
const json = { 'content-type': 'application/json' };

test('a completion is what `generate` gives, greedily, with what clients of OpenAI read', async () => {
  const prompts = [question, 'Q: What is the capital of Nowhere? A:'];
  const { status, body } = await ask('/v1/completions', { model: 'lab', prompt: prompts, max_tokens: 8 });
  expect(status).toBe(200);
  const texts = await generateTexts(service.loaded, prompts, { beams: 1, maxNewTokens: 8 });
  expect(body.choices.map((one) => one.text)).toEqual(texts);
  expect(texts[0]).toBe(town);
  expect(body).toMatchObject({ object: 'text_completion', model: 'lab' });
  expect(body.choices[0]).toMatchObject({ index: 0, finish_reason: 'stop' });
  expect(body.usage.total_tokens).toBe(body.usage.prompt_tokens! + body.usage.completion_tokens!);
  const cut = await ask('/v1/completions', { prompt: question, max_tokens: 1 });
  expect(cut.body.choices[0]!.finish_reason).toBe('length');
});

test('a record is answered by its task', async () => {
  const { status, body } = await ask('/v1/tasks/lab-reading', { record: { input: question, target: '' } });
  expect(status).toBe(200);
  expect(body).toEqual({ task: 'lab-reading', input: question, output: town });
  const two = await ask('/v1/tasks/lab-reading', { records: [{ input: question }, { input: question }] });
  expect(two.body.answers).toHaveLength(2);
  expect((await ask('/v1/tasks')).body.tasks).toEqual([{ name: 'lab-reading', softPrompt: false }]);
  expect((await ask('/v1/models')).body.data[0]!.id).toBe('lab');
  expect((await ask('/health')).body.status).toBe('ok');
});

const refusals: [what: string, status: number, code: string, path: string, body: unknown][] = [
  ['an unknown path', 404, 'not-found', '/v1/complete', {}],
  ['an unknown task', 404, 'unknown-task', '/v1/tasks/no', { record: {} }],
  ['a path that is no text', 400, 'bad-input', '/v1/tasks/%ff', { record: {} }],
  ['another model', 404, 'unknown-model', '/v1/completions', { prompt: 'a', model: 'gpt' }],
  ['the other method', 405, 'bad-method', '/v1/models', {}],
  ['parts of a completion', 400, 'bad-input', '/v1/completions', { prompt: 'a', stream: true }],
  ['drawing with beams', 400, 'bad-input', '/v1/completions', { prompt: 'a', temperature: 1, beams: 2 }],
  [
    'a chat without a template',
    400,
    'bad-input',
    '/v1/chat/completions',
    { messages: [{ role: 'user', content: 'a' }] },
  ],
  ['an unknown key', 400, 'bad-input', '/v1/completions', { prompt: 'a', best_of: 2 }],
  ['neither record nor records', 400, 'bad-input', '/v1/tasks/lab-reading', {}],
  ['a body that is too large', 413, 'too-large', '/v1/completions', { prompt: 'a'.repeat(2 ** 20) }],
  ['an input that is too long', 400, 'bad-input', '/v1/completions', { prompt: 'figs '.repeat(5000) }],
];
test.each(refusals)('refused: %s', async (_, status, code, path, body) => {
  const answer = await ask(path, body);
  expect(answer.status).toBe(status);
  expect(answer.body.error.code).toBe(code);
  expect(answer.body.error.message.length).toBeGreaterThan(5);
});

test('refused: what a foreign page in a browser could send', async () => {
  const plain = await fetch(`${server.url}/v1/completions`, { method: 'POST', body: '{"prompt":"a"}' });
  expect(plain.status).toBe(415);
  const { port } = new URL(server.url);
  const request = httpRequest({ port, path: '/v1/models', headers: { host: 'evil.example' } }).end();
  const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage];
  response.resume();
  expect(response.statusCode).toBe(403);
  const malformed = await fetch(`${server.url}/v1/completions`, { method: 'POST', body: '{', headers: json });
  expect(malformed.status).toBe(400);
});

test('requests at once are answered one after the other; too many are refused', async () => {
  const answers = await Promise.all(
    Array.from({ length: 6 }, () => ask('/v1/completions', { prompt: question, beams: 8, max_tokens: 16 })),
  );
  const good = answers.filter(({ status }) => status === 200);
  expect(good.length).toBeGreaterThanOrEqual(3);
  for (const { body } of good) expect(body.choices[0]!.text).toBe(town);
  for (const { status, body } of answers.filter((one) => one.status !== 200))
    expect([status, body.error.code]).toEqual([503, 'busy']);
});

test('a run: its own task has the soft prompt, every other request has none', async () => {
  writeFileSync(join(folder, 'odd.csv'), 'question,label\n1,True\n2,False\n3,True\n4,False\n');
  const data = 'train: odd.csv\n  validation: odd.csv';
  const yaml = `name: odd\nfiles:\n  ${data}\ninput: "{question} answer:"\ntarget: "{label}"\nmetric: accuracy\n`;
  writeFileSync(join(folder, 'odd.yaml'), yaml);
  const out = join(folder, 'run');
  const stage = { steps: 2, keepEvery: 2 };
  const settings = { batchSize: 2, stage1: { ...stage, learningRate: 30 }, stage2: stage, promptLength: 4 };
  await train({ model: golden, task: join(folder, 'odd.yaml'), method: 'promot', out, settings });
  const own = await Service.open({ model: out });
  const running = await startServer(own, { host: '127.0.0.1', port: 0 });
  const loaded = await openModel(out, 'float32');
  const prompt = openPrompt(out, loaded.model)!;
  try {
    expect((await ask('/v1/tasks', undefined, running)).body.tasks).toEqual([{ name: 'odd', softPrompt: true }]);
    const input = '5 answer:';
    const [bare] = await generateTexts(loaded, [input], { beams: 1, maxNewTokens: 8 });
    const [behind] = await generateTexts(loaded, [input], { beams: 1, maxNewTokens: 8, prompt });
    expect(behind!.trim()).not.toBe(bare!.trim());
    const body = { record: { question: 5 }, max_tokens: 8 };
    expect((await ask('/v1/tasks/odd', body, running)).body).toEqual({ task: 'odd', input, output: behind!.trim() });
    const drawn = { temperature: 2, seed: 3 };
    const [other] = await generateTexts(loaded, [input], {
      ...drawn,
      repetitionPenalty: 1.3,
      noRepeatNgram: 2,
      maxNewTokens: 8,
      prompt,
    });
    expect(other!.trim()).not.toBe(behind!.trim());
    const rest = { repetition_penalty: 1.3, no_repeat_ngram_size: 2 };
    const answer = await ask('/v1/tasks/odd', { ...body, ...drawn, ...rest }, running);
    expect(answer.body).toMatchObject({ output: other!.trim() });
    const completion = await ask('/v1/completions', { prompt: input, max_tokens: 8 }, running);
    expect(completion.body.choices[0]!.text).toBe(bare);
    // Who wants a text as it stands behind the prompt names it with the model.
    const model = 'run:odd';
    const named = await ask('/v1/completions', { prompt: input, max_tokens: 8, model }, running);
    expect(named.body.choices[0]!.text).toBe(behind);
    expect((await ask('/v1/models', undefined, running)).body.data.map(({ id }) => id)).toEqual(['run', model]);
    const lacking = await ask('/v1/tasks/odd', { record: { text: 'a' } }, running);
    expect(lacking.status).toBe(400);
    expect(lacking.body.error.message).toMatch(/^record 0: .*question/u);
  } finally {
    prompt.dispose();
    loaded.dispose();
    await running.close();
    own.dispose();
  }
});

test('a chat, whole and in parts', async () => {
  const source = fileURLToPath(new URL('../../../core/golden', import.meta.url));
  const model = join(folder, 'chat');
  cpSync(join(source, 'models/llama'), model, { recursive: true });
  cpSync(join(source, 'chat/smollm2.jinja'), join(model, 'chat_template.jinja'));
  const talker = await Service.open({ model });
  const running = await startServer(talker, { host: '127.0.0.1', port: 0 });
  try {
    const messages = [{ role: 'user', content: 'the cat' }];
    const said = await generateTurn(talker.loaded, messages, { maxNewTokens: 6 });
    const whole = await ask('/v1/chat/completions', { messages, max_tokens: 6 }, running);
    expect(whole.body.choices[0]).toMatchObject({ message: { role: 'assistant', content: said } });
    const body = JSON.stringify({ messages, max_tokens: 6, stream: true });
    const response = await fetch(`${running.url}/v1/chat/completions`, { method: 'POST', headers: json, body });
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/u);
    const events = (await response.text()).trim().split('\n\n');
    expect(events.pop()).toBe('data: [DONE]');
    const parts = events.map((event) => JSON.parse(event.replace('data: ', '')) as { choices: [Part] });
    expect(parts.map(({ choices: [{ delta }] }) => delta.content ?? '').join('')).toBe(said);
    expect(parts.at(-1)!.choices[0].finish_reason).toMatch(/^(stop|length)$/u);
    const picture = [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'a' } }] }];
    const refused = await ask('/v1/chat/completions', { messages: picture }, running);
    expect([refused.status, refused.body.error.message]).toEqual([400, expect.stringContaining('turn 1: content is')]);
    const drawn = { messages, max_tokens: 6, temperature: 1, seed: 3 };
    const [one, two] = [
      await ask('/v1/chat/completions', drawn, running),
      await ask('/v1/chat/completions', drawn, running),
    ];
    expect(one.body.choices).toEqual(two.body.choices);
  } finally {
    await running.close();
    talker.dispose();
  }
});

interface Part {
  readonly delta: { readonly content?: string };
  readonly finish_reason: string | null;
}

test('who hangs up is not computed for, and close waits for the others', async () => {
  // The tiny model babbles to the end.
  const babbler = await Service.open({ model: golden });
  const running = await startServer(babbler, { host: '127.0.0.1', port: 0 });
  const body = JSON.stringify({ prompt: 'a', max_tokens: 4096, beams: 16 });
  const abort = new AbortController();
  const gone = fetch(`${running.url}/v1/completions`, { method: 'POST', headers: json, body, signal: abort.signal });
  const busy = async () => (await ask('/health', undefined, running)).body.requests as number;
  while ((await busy()) === 0) await setTimeout(5);
  abort.abort();
  await expect(gone).rejects.toThrow();
  const start = performance.now();
  while ((await busy()) > 0) await setTimeout(5);
  // The whole answer would take longer by far.
  expect(performance.now() - start).toBeLessThan(5000);
  const last = ask('/v1/completions', { prompt: 'a', max_tokens: 64 }, running);
  while ((await busy()) === 0) await setTimeout(1);
  await running.close();
  expect((await last).status).toBe(200);
  await expect(fetch(`${running.url}/health`)).rejects.toThrow();
  babbler.dispose();
});

test('the command ends cleanly on SIGTERM', async () => {
  const bin = fileURLToPath(new URL('../../bin/promot.js', import.meta.url));
  const child = spawn(process.execPath, [
    bin,
    'serve',
    '--model',
    'lab',
    '--task',
    'lab-reading',
    '--port',
    '0',
    '--json',
  ]);
  let out = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  while (!out.includes('\n')) await once(child.stdout, 'data');
  const { url, paths } = JSON.parse(out) as { url: string; paths: string[] };
  expect(paths).toEqual(['/v1/completions', '/v1/chat/completions', '/v1/tasks/lab-reading']);
  expect((await fetch(`${url}/health`)).status).toBe(200);
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);
});

test('a taken port and a strange host are errors for people', async () => {
  const { port } = new URL(server.url);
  await expect(startServer(service, { host: '127.0.0.1', port: Number(port) })).rejects.toThrow(/port is in use/u);
  await expect(startServer(service, { host: '192.0.2.1', port: 0 })).rejects.toThrow(/^192\.0\.2\.1:0: /u);
  await expect(startServer(service, { host: '127.0.0.1', port: 70_000 })).rejects.toThrow(/70000/u);
});

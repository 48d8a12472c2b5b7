// Chat tasks on a golden model, from the data to a tuned model that answers.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { UserError } from '../src/base/errors.js';
import { evaluate } from '../src/evaluation/evaluate-tasks.js';
import { generateTurn } from '../src/generation/chat.js';
import { score } from '../src/generation/score.js';
import { renderChats } from '../src/models/chat.js';
import { tokenizeExample } from '../src/models/tokenize.js';
import { openModel, openPrompt } from '../src/open/open.js';
import { loadTask } from '../src/tasks/registry.js';
import { ChatTemplate } from '../src/tokenizer/chat-template.js';
import { dryRun } from '../src/training/dry-run.js';
import { train, type WorkEvent } from '../src/training/train.js';
import { goldenModel, smallSettings } from './small-task.js';

const folder = mkdtempSync(join(tmpdir(), 'promot-chat-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const template = readFileSync(new URL('../golden/chat/smollm2.jinja', import.meta.url), 'utf8');

/** Qwen2's golden model, which knows ChatML's tokens, with a chat template. */
const model = join(folder, 'qwen2');
cpSync(goldenModel('qwen2'), model, { recursive: true });
writeFileSync(join(model, 'chat_template.jinja'), template);

let count = 0;
/** A task of six conversations of two answers each. */
function chatTask(yaml: string, rows: readonly object[] = conversations): string {
  const place = join(folder, `task-${count++}`);
  mkdirSync(place);
  const lines = rows.map((row) => `${JSON.stringify(row)}\n`).join('');
  writeFileSync(join(place, 'train.jsonl'), lines);
  writeFileSync(join(place, 'validation.jsonl'), lines);
  writeFileSync(
    join(place, 'task.yaml'),
    `name: talk\nfiles: { train: train.jsonl, validation: validation.jsonl }\nmetric: exact-match\n${yaml}\n`,
  );
  return join(place, 'task.yaml');
}

const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });
const conversations = Array.from({ length: 6 }, (_, i) => ({
  messages: [user(`the ${i}`), assistant(`a ${i}`), user('and?'), assistant(`b ${i}`), user('not learned')],
}));
const settings = { ...smallSettings, batchSize: 2, microBatchSize: 2, stage1: { steps: 2, keepEvery: 2 } };
const quick = { ...settings, stage2: { steps: 2, keepEvery: 2, learningRate: 0.01 } };

async function messageOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.catch((e: unknown) => e);
  expect(error).toBeInstanceOf(UserError);
  return (error as UserError).message;
}
const load = async (path: string) => (await loadTask(path)).load('train');

describe('the data', () => {
  test('of both forms, and of templates, is the same conversation', async () => {
    const [first] = await load(chatTask('messages: "{messages}"'));
    expect(first!.target).toBe('b 0');
    expect(first!.conversation!.messages).toEqual(conversations[0]!.messages.slice(0, 4));
    const speakers = { user: 'human', assistant: 'gpt' } as Record<string, string>;
    const rows = conversations.map(({ messages }) => ({
      conversations: messages.map(({ role, content }) => ({ from: speakers[role], value: content })),
    }));
    const [other] = await load(chatTask('conversations: "{conversations}"', rows));
    expect(other!.conversation).toEqual(first!.conversation);
    const [made] = await load(
      chatTask(
        'messages: [{ role: system, content: Be brief. }, { role: user, content: "{q}" }, { role: assistant, ' +
          'content: "{a}" }]',
        [{ q: 'who?', a: 'me' }],
      ),
    );
    expect(made!.conversation!.messages).toEqual([
      { role: 'system', content: 'Be brief.' },
      user('who?'),
      assistant('me'),
    ]);
  });

  test("calls of tools, in OpenAI's form and in ShareGPT's; turns of weight 0", async () => {
    const call = { type: 'function', function: { name: 'f', arguments: { x: 1 } } };
    const asText = { ...call, function: { name: 'f', arguments: '{"x": 1}' } };
    const answers = [{ role: 'tool', content: '3' }, assistant('three')];
    const openAi = [user('x?'), { role: 'assistant', content: null, tool_calls: [asText] }, ...answers];
    const share = [
      { from: 'human', value: 'x?' },
      { from: 'function_call', value: '{"name": "f", "arguments": {"x": 1}}' },
      { from: 'observation', value: '3' },
      { from: 'gpt', value: 'three' },
    ];
    for (const [messages, content] of [
      [openAi, null],
      [share, ''],
    ] as const) {
      const [found] = await load(
        chatTask('messages: "{messages}"\ntools: "{tools}"', [{ messages, tools: '[{"name":"f"}]' }]),
      );
      expect(found!.conversation).toEqual({
        messages: [user('x?'), { role: 'assistant', content, tool_calls: [call] }, ...answers],
        tools: [{ name: 'f' }],
      });
    }
    const weighed = [user('a'), { ...assistant('b'), weight: 1 }, user('c'), { ...assistant('d'), weight: 0 }];
    const [cut] = await load(chatTask('messages: "{messages}"', [{ messages: weighed }]));
    expect([cut!.target, cut!.conversation!.messages.length]).toEqual(['b', 2]);
  });

  const one = (messages: unknown, more: object = {}) => [{ messages, ...more }];
  test.each([
    [
      'messages: "{messages}"',
      one([user('a')]),
      'train.jsonl line 1: the conversation has no turn of the assistant to learn',
    ],
    ['messages: "{messages}"', one('a'), 'field "messages" should hold a list of turns'],
    ['messages: "{messages}"', one([{ role: 'bot', content: 'a' }]), 'turn 1: role is "bot"; known are system,'],
    ['messages: "{messages}"', one([{ from: 'bot', value: 'a' }]), 'turn 1: it has neither a role nor a "from"'],
    ['messages: "{messages}"', one([user('a'), { role: 'assistant', content: 3 }]), 'turn 2: content is 3; a text'],
    ['messages: "{messages}"', one([user('a'), assistant(' ')]), 'the target is empty'],
    ['messages: "{messages}"', one([user('a'), { ...assistant('b'), weight: 0.5 }]), 'turn 2: weight is 0.5; a turn'],
    ['messages: "{messages}"', one([{ from: 'function_call', value: 'f(1)' }]), 'a function_call: "f(1)" is not JSON'],
    ['messages: "{turns}"', one([user('a')]), 'no field "turns"; the record has messages'],
    ['messages: "{messages}"\ntools: "{tools}"', one([user('a'), assistant('b')], { tools: 3 }), 'should hold a list'],
  ])('%s: %j', async (yaml, rows, message) => {
    expect(await messageOf(load(chatTask(yaml, rows)))).toContain(message);
  });

  test('keeps its numbers or is refused', async () => {
    const path = chatTask('messages: "{messages}"\ntools: "{tools}"');
    writeFileSync(
      join(path, '../train.jsonl'),
      '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"tools":[{"least":1.0}]}\n',
    );
    expect(await messageOf(load(path))).toContain('a chat template would not keep the number 1.0');
  });

  test.each([
    ['messages: "{messages}"\ninput: "{a}"', 'line 5: "input" does not go with "messages"'],
    ['messages: "all of {messages}"', '"all of {messages}" should be one {field}'],
    ['messages: "{messages}"\nchatTemplate: none.jinja', 'cannot read the chat template'],
    ['input: "{a}"\ntarget: "{b}"\nchatTemplate: "{{ a }}"', '"chatTemplate" is for a task with "messages"'],
    ['input: "{a}"', '"target" is missing: a task has input and target, or messages'],
  ])('%s', async (yaml, message) => {
    expect(await messageOf(loadTask(chatTask(yaml)))).toContain(message);
  });
});

test('the dry run shows what is learned of every turn', async () => {
  const request = { model, task: chatTask('messages: "{messages}"'), method: 'promot', out: join(folder, 'dry') };
  const { examples, targetLengths } = await dryRun({ ...request, settings: quick });
  const { inputTokens, targetTokens, isChat } = examples[0]!;
  const learned = [...inputTokens.filter((token) => token.learned), ...targetTokens].map(({ text }) => text).join('');
  expect([isChat, learned]).toEqual([true, 'a 0<|im_end|>b 0<|im_end|>']);
  expect(targetLengths.longest).toBeGreaterThanOrEqual(8);
});

test('ProMoT: both stages learn the answers of every turn, and the template goes with the model', async () => {
  const task = chatTask('messages: "{messages}"\nchatTemplate: own.jinja');
  const own = template.replace('named SmolLM, trained by Hugging Face', 'here');
  writeFileSync(join(task, '../own.jinja'), own);
  const out = join(folder, 'run');
  const events: WorkEvent[] = [];
  const method = 'fine-tune';
  await train({ model, task, method, out: join(folder, 'plain'), settings: { ...quick, labelSmoothing: 0 } });
  await train({ model, task, method: 'promot', out, settings: quick, onEvent: (event) => events.push(event) });
  expect(readFileSync(join(out, 'model/chat_template.jinja'), 'utf8')).toBe(own);
  expect(readFileSync(join(out, 'model/tokenizer_config.json'))).toEqual(
    readFileSync(join(model, 'tokenizer_config.json')),
  );

  // The loss of the first step without a prompt is that of all answers in its batch.
  using loaded = await openModel(model, 'float32');
  const examples = renderChats(await load(task), loaded).map((one) =>
    tokenizeExample(one, loaded.tokenizer, 'decoder-only'),
  );
  const scored = await score(loaded.model, examples);
  const [, first] = readFileSync(join(folder, 'plain/metrics.jsonl'), 'utf8').split('\n');
  const { loss } = JSON.parse(first!) as { loss: number };
  const pairs = scored.flatMap((a, i) =>
    scored.slice(i + 1).map((b) => (a.loss * a.tokens + b.loss * b.tokens) / (a.tokens + b.tokens)),
  );
  expect(scored.every(({ tokens }) => tokens >= 8)).toBe(true);
  expect(Math.min(...pairs.map((pair) => Math.abs(pair - loss)))).toBeLessThan(1e-4);

  const { score: reached, samples } = await evaluate({ model: out, prompt: out, task: 'talk', beams: 1 });
  expect(samples[0]!.input).toContain('<|im_start|>user\nand?<|im_end|>\n<|im_start|>assistant\n');
  expect(samples[0]!.references).toEqual(['b 0']);
  expect(reached).toBeGreaterThanOrEqual(0);

  using tuned = await openModel(out, 'float32');
  const prompt = openPrompt(out, tuned.model)!;
  const turns = [user('the 0'), assistant('a 0'), user('and?')];
  const parts: string[] = [];
  const answer = await generateTurn(tuned, turns, { prompt, maxNewTokens: 6, onText: (part) => parts.push(part) });
  expect(parts.join('')).toBe(answer);
  expect(answer).toBe(samples[0]!.output.slice(0, answer.length));
  expect(await generateTurn(tuned, turns, { maxNewTokens: 6 })).not.toBe('');
  prompt.dispose();
});

test('a template that asks for a list of a billion numbers, or is nested without end, is refused', () => {
  const render = (source: string) => new ChatTemplate(source, {}, 'place').render([user('a')]);
  const text = '{% for i in range(1, 6, 2) %}{{ i }}{% endfor %}{{ messages[0].content }}';
  expect(render(text)).toBe('135a');
  expect(() => render(text.replace('6', '1000000000'))).toThrow('place: the chat template refuses the conversation');
  expect(() => render(text.replace('2', '0'))).toThrow(UserError);
  expect(() => render(`{{ ${'('.repeat(20_000)} }}`)).toThrow('place: not a chat template that is understood');
});

describe('what does not go', () => {
  const request = (more: object, using: string = model) => ({
    model: using,
    task: chatTask('messages: "{messages}"'),
    method: 'fine-tune',
    out: join(folder, `no-${count}`),
    settings: { ...quick, ...more },
  });

  test('exemplars, models of the other kind, models without a template', async () => {
    expect(await messageOf(train(request({ shots: 1 })))).toContain('conversations have no exemplars');
    expect(await messageOf(train(request({}, goldenModel('t5-v1.1'))))).toContain('for decoder-only models');
    expect(await messageOf(train(request({}, goldenModel('qwen2'))))).toContain('the model has no chat template');
    const { task } = request({});
    expect(await messageOf(evaluate({ model, task, shots: 1 }))).toContain('conversations have no exemplars');
  });

  test('conversations that are too long are left out, or refused, and never cut', async () => {
    const notes: string[] = [];
    const long = { messages: [user('the '.repeat(60)), assistant('a')] };
    const task = chatTask('messages: "{messages}"', [...conversations, long]);
    const onEvent = (event: WorkEvent) => {
      if (event.type === 'note') notes.push(event.text);
    };
    const all = { ...request({ maxInputLength: 130 }), task, onEvent };
    const { trainExamples } = await dryRun(all);
    expect(trainExamples).toBe(6);
    expect(notes.join()).toContain('training split: 1 of 7 conversations have more than 130 tokens (maxInputLength)');
    expect(await messageOf(train({ ...all, settings: { ...quick, maxInputLength: 5 } }))).toContain('none is left');
    expect(await messageOf(evaluate({ model, task, maxInputLength: 130 }))).toContain('conversations are not cut');
  });

  test('turns that end with no end token of the model are told', async () => {
    const notes: string[] = [];
    const lines = readFileSync(new URL('../golden/chat/gemma.jinja', import.meta.url), 'utf8');
    const task = chatTask('messages: "{messages}"\nchatTemplate: gemma.jinja');
    writeFileSync(join(task, '../gemma.jinja'), lines);
    const onEvent = (event: WorkEvent) => {
      if (event.type === 'note') notes.push(event.text);
    };
    await dryRun({ ...request({}), task, onEvent });
    expect(notes.join()).toContain("puts no end token behind the assistant's turns");
  });
});

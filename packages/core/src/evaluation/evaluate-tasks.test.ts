// Evaluations with files: what is written, what is taken over, what goes on after an interruption. Tiny golden model.
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { watchTensors } from '@promot/torch';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Observer } from '../base/events.js';
import { openModel } from '../open/open.js';
import { type EvaluateTasksRequest, evaluateTasks, type TasksResult } from './evaluate-tasks.js';

// As it is, but counted.
vi.mock('../open/open.js', async (original) => {
  const real = await original<typeof import('../open/open.js')>();
  return { ...real, openModel: vi.fn(real.openModel) };
});

let folder: string;
let model: string;
let tasks: string[];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'promot-evaluation-'));
  model = join(folder, 'model');
  cpSync(fileURLToPath(new URL('../../golden/models/llama', import.meta.url)), model, { recursive: true });
  const line = (i: number) => JSON.stringify({ question: `The garden ${i}`, answer: i % 2 ? 'river' : 'morning' });
  const lines = (from: number) => Array.from({ length: 5 }, (_, i) => `${line(from + i)}\n`).join('');
  writeFileSync(join(folder, 'train.jsonl'), lines(10));
  writeFileSync(join(folder, 'test.jsonl'), lines(0));
  tasks = ['open', 'closed'].map((name) => {
    const path = join(folder, `${name}.yaml`);
    const labels = name === 'closed' ? 'labels: [river, morning]\n' : '';
    writeFileSync(
      path,
      `name: ${name}\nfiles: { train: train.jsonl, test: test.jsonl }\ninput: "{question}"\ntarget: "{answer}"\n` +
        `metric: ${name === 'closed' ? 'accuracy' : 'rouge-1'}\n${labels}`,
    );
    return path;
  });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const request = (more: Partial<EvaluateTasksRequest> = {}): EvaluateTasksRequest => ({
  model,
  tasks,
  shots: 2,
  beams: 2,
  maxNewTokens: 4,
  batchSize: 1,
  nll: true,
  ...more,
});
const read = (...path: string[]) => readFileSync(join(...path), 'utf8');

test('several tasks: report, files, fingerprints; no tensor left', async () => {
  const out = join(folder, 'several');
  const left = watchTensors();
  const report = await evaluateTasks(request({ out }));
  expect(left()).toBe(0);
  expect(report.tasks.map(({ task, n, shots }) => [task, n, shots])).toEqual([
    ['open', 5, 2],
    ['closed', 5, 2],
  ]);
  expect(report.average).toBeCloseTo((report.tasks[0]!.score + report.tasks[1]!.score) / 2, 9);
  const written = JSON.parse(read(out, 'results.json')) as Record<string, unknown>;
  expect(written).toMatchObject({
    format: 2,
    tasks: report.tasks.map(({ samples, ...result }) => JSON.parse(JSON.stringify(result)) as object),
    average: report.average,
    settings: { model, beams: 2, nll: true, decide: 'generation' },
    modelFingerprint: expect.stringMatching(/^[0-9a-f]{64}$/u),
  });
  for (const { task, samples } of report.tasks)
    expect(
      read(out, `samples-${task}.jsonl`)
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as object),
    ).toEqual([
      { type: 'header', format: 2 },
      ...(JSON.parse(JSON.stringify(samples)) as object[]).map((sample) => ({ type: 'sample', ...sample })),
    ]);
});

test('the same again costs nothing; what the answers depend on makes them anew', async () => {
  const out = join(folder, 'again');
  const first = await evaluateTasks(request({ out }));
  const run = async (more: Partial<EvaluateTasksRequest> = {}) => {
    const there: [string, number, number][] = [];
    const report = await evaluateTasks(
      request({ out, ...more, onEvent: (e) => e.type === 'reused' && there.push([e.of, e.there, e.total]) }),
    );
    return { report, there };
  };
  vi.mocked(openModel).mockClear();
  const again = await run();
  expect(openModel).not.toHaveBeenCalled();
  expect(again.report).toEqual(first);
  expect(again.there).toEqual([
    ['open', 10, 10],
    ['closed', 15, 15],
  ]);
  // What only changes the report takes the answers over.
  const decided = await run({ decide: 'likelihood', tasks: tasks.slice(1), labels: ['morning'] });
  expect(decided.there).toEqual([['closed', 15, 15]]);
  expect(openModel).not.toHaveBeenCalled();
  for (const change of [{ seed: 1 }, { shots: 1 }, { beams: 1 }, { limit: 3 }, { maxNewTokens: 3 }])
    expect((await run({ tasks: tasks.slice(0, 1), ...change })).there).toEqual([]);
  const prompt = join(model, 'prompt');
  expect((await run({ tasks: tasks.slice(0, 1), prompt })).there).toEqual([]);
  // Other weights under the same name.
  const config = read(model, 'config.json');
  writeFileSync(join(model, 'config.json'), config.replace(/"rms_norm_eps": [^,]*/u, '"rms_norm_eps": 0.01'));
  expect((await run({ tasks: tasks.slice(0, 1) })).there).toEqual([]);
  writeFileSync(join(model, 'config.json'), config);
  // And back.
  expect((await run({ tasks: tasks.slice(0, 1) })).there).toEqual([['open', 10, 10]]);
});

test('an interrupted evaluation goes on, even behind half a line', async () => {
  const whole = await evaluateTasks(request());
  const out = join(folder, 'interrupted');
  for (const at of [2, 7, 12]) {
    const controller = new AbortController();
    let seen = 0;
    const onEvent: Observer = ({ type }) => {
      if (type === 'evaluating' && ++seen === at) controller.abort(new Error('enough'));
    };
    await expect(evaluateTasks(request({ out, onEvent, signal: controller.signal }))).rejects.toThrow('enough');
    const answers = readdirSync(join(out, 'answers'));
    appendFileSync(join(out, 'answers', answers[0]!), '{"example":4,"outp');
  }
  const there: number[] = [];
  const report = await evaluateTasks(request({ out, onEvent: (e) => e.type === 'reused' && there.push(e.there) }));
  // Equal but for rounding: what is left makes other batches.
  const facts = ({ tasks: results }: TasksResult) =>
    results.map(({ score, samples }) => ({ score, ...samples.map(({ output }) => output) }));
  expect(facts(report)).toEqual(facts(whole));
  report.tasks.forEach((result, i) => {
    expect(result.nll).toBeCloseTo(whole.tasks[i]!.nll!, 5);
    expect(result.likelihood).toEqual(whole.tasks[i]!.likelihood);
  });
  expect(there[0]).toBe(10);
  expect(there[1]).toBeGreaterThan(0);
  expect(there[1]).toBeLessThan(15);
});

test('a damaged file of answers is refused, an empty one is not', async () => {
  const out = join(folder, 'damaged');
  const one = { out, tasks: tasks.slice(0, 1) };
  await evaluateTasks(request(one));
  const [name] = readdirSync(join(out, 'answers'));
  const path = join(out, 'answers', name!);
  const content = read(path);
  writeFileSync(path, content.replace('\n{', '\n{{'));
  await expect(evaluateTasks(request(one))).rejects.toThrow(/jsonl line 2: malformed JSON.*delete the file/u);
  truncateSync(path, 0);
  await evaluateTasks(request(one));
  renameSync(path, `${path}.old`);
  await evaluateTasks(request(one));
  expect(read(path)).toBe(content);
});

test('no task, and a task twice, are refused', async () => {
  await expect(evaluateTasks(request({ tasks: [] }))).rejects.toThrow(/no task/u);
  await expect(evaluateTasks(request({ tasks: [tasks[0]!, tasks[0]!] }))).rejects.toThrow(/open is named twice/u);
});

// The files that promot leaves: what is written is read again, format 1 is still read, a later one is refused.
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import { appendAnswer, readAnswers } from './answers-file.js';
import { appendMetrics, type MetricsFileLine, readMetrics } from './metrics-file.js';
import { readResults, writeResults } from './results-file.js';
import { readRun, writeRun } from './run-file.js';
import { readSamples, writeSamples } from './samples-file.js';

const temporary = mkdtempSync(join(tmpdir(), 'promot-files-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));
const folder = () => mkdtempSync(join(temporary, 'one-'));
const put = (name: string, ...lines: object[]): string => {
  const path = folder();
  writeFileSync(join(path, name), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return path;
};

const step = { stage: 'model', step: 1, loss: 2, learningRate: 0.1, gradientNorm: 3 };
const clock = { tokensPerSecond: 5, elapsed: 1, remaining: 2, memory: 1e9 };
const scores = { metric: 'accuracy', score: 50, evalLoss: 1.5 };
const kept = { keep: [{ task: 'cb', metric: 'accuracy', score: 40, nll: 1 }], keepAverage: 40 };
const lines: MetricsFileLine[] = [
  { type: 'step', ...step, ...clock },
  { type: 'evaluation', stage: 'model', step: 1, ...scores, tasks: [{ task: 'rte', ...scores }] },
  { type: 'keep', stage: 'model', step: 1, ...kept },
  { type: 'own', stage: 'model', step: 1, asked: 'something' },
];

test('metrics.jsonl', () => {
  const path = folder();
  appendMetrics(path, lines.slice(0, 1));
  appendMetrics(path, lines.slice(1));
  expect(readMetrics(path)).toEqual(lines);
  appendFileSync(join(path, 'metrics.jsonl'), '{"type":"step","sta');
  expect(readMetrics(path)).toEqual(lines);
  expect(readMetrics(folder())).toEqual([]);
});

test('metrics.jsonl of format 1', () => {
  const ofFormat1 = put(
    'metrics.jsonl',
    { ...step, ...clock },
    { stage: 'model', step: 1, evalLoss: 1.5, accuracy: 50 },
    { stage: 'model', step: 1, ...kept },
    { stage: 'model', step: 1, asked: 'something' },
    { stage: 'model', step: 2, evalLoss: 1.5, score: 50, tasks: [{ task: 'rte', ...scores }] },
  );
  expect(readMetrics(ofFormat1)).toEqual([
    lines[0],
    { ...lines[1], tasks: [] },
    ...lines.slice(2),
    { ...lines[1], step: 2, metric: 'mean' },
  ]);
});

test.each([
  ['null', /line 2: /],
  ['{"type":"step","stage":"model","step":"1"}', /line 2: .*step/],
  ['{"type":"other","stage":"model","step":1}', /line 2: type/],
  ['{"stage":"model","step":1,"evalLoss":2}', /line 2: an evaluation without a score/],
  ['{]', /line 2: malformed JSON/],
])('metrics.jsonl: the line %s is refused, or left out and told', (line, message) => {
  const path = put('metrics.jsonl', { ...step, ...clock });
  appendFileSync(join(path, 'metrics.jsonl'), `${line}\n`);
  expect(() => readMetrics(path)).toThrow(UserError);
  expect(() => readMetrics(path)).toThrow(message);
  const damaged: string[] = [];
  expect(readMetrics(path, (where) => damaged.push(where))).toHaveLength(1);
  expect(damaged).toEqual([expect.stringMatching(/metrics\.jsonl line 2$/u)]);
});

test('run.json', () => {
  const path = folder();
  const info = {
    method: 'promot',
    model: 'lab',
    tasks: ['rte'],
    fingerprints: { tasks: { rte: '1 ab' }, model: 'cd' },
  };
  writeRun(path, info, { seed: 0 });
  const { fingerprints, ...rest } = info;
  const read = { format: 2, ...rest, config: { seed: 0 }, fingerprints: { replay: {}, keep: {}, ...fingerprints } };
  expect(readRun(path)).toEqual(read);
});

test('run.json of format 1: one task was a text', () => {
  const run = { method: 'promot', model: 'lab', config: { seed: 0 } };
  const none = { tasks: {}, replay: {}, keep: {} };
  expect(readRun(put('run.json', { ...run, task: 'rte' }))).toEqual({
    ...run,
    format: 2,
    tasks: ['rte'],
    fingerprints: none,
  });
  const several = { ...run, task: ['rte', 'cb'], fingerprints: { rte: '1 ab' } };
  expect(readRun(put('run.json', several))).toMatchObject({
    tasks: ['rte', 'cb'],
    fingerprints: { ...none, tasks: { rte: '1 ab' } },
  });
});

const result = {
  task: 'rte',
  version: '1',
  split: 'test',
  metric: 'accuracy',
  score: 50,
  n: 2,
  shots: 0,
  seed: 0,
  signature: 's',
  notes: [],
  dataFingerprint: 'd',
};

test('results.json', () => {
  const path = folder();
  const results = { tasks: [result], settings: { model: 'lab' }, modelFingerprint: 'm', date: '2026-11-29' };
  writeResults(path, results);
  expect(readResults(path)).toEqual({ format: 2, ...results });
});

test('results.json of format 1: the result of one task stood flat', () => {
  const about = { settings: { model: 'lab' }, modelFingerprint: 'm' };
  const { notes: _, ...flat } = result;
  expect(readResults(put('results.json', { ...flat, ...about }))).toEqual({ format: 2, tasks: [result], ...about });
  const list = { tasks: [result, { ...result, task: 'cb' }], average: 50, ...about };
  expect(readResults(put('results.json', list))).toEqual({ format: 2, ...list });
});

test('samples, of format 1, too', () => {
  const path = join(folder(), 'samples-rte.jsonl');
  const sample = { input: 'in', output: ' True', trimmed: 'True', references: ['True'], score: 100 };
  writeSamples(path, [sample, sample]);
  expect(readSamples(path)).toEqual([1, 2].map(() => ({ type: 'sample', ...sample })));
  expect(readSamples(join(put('s.jsonl', sample), 's.jsonl'))).toEqual([{ type: 'sample', ...sample }]);
});

test('answers; a last line that is cut is cut off', () => {
  const path = join(folder(), 'answers', 'a.jsonl');
  appendAnswer(path, { type: 'prompts', inputs: ['in'], notes: [] });
  appendAnswer(path, { type: 'answer', example: 0, output: 'True' });
  const content = readFileSync(path, 'utf8');
  appendFileSync(path, '{"type":"answer","exam');
  expect(readAnswers(path)).toEqual([
    { type: 'prompts', inputs: ['in'], notes: [] },
    { type: 'answer', example: 0, output: 'True' },
  ]);
  expect(readFileSync(path, 'utf8')).toBe(content);
  appendFileSync(path, 'null\n');
  expect(() => readAnswers(path)).toThrow(/a\.jsonl line 4: .*delete the file/);
});

test('a later format is refused, with what to do', () => {
  for (const [name, read] of [
    ['run.json', readRun],
    ['results.json', readResults],
    ['metrics.jsonl', readMetrics],
  ] as const)
    expect(() => read(put(name, { type: 'header', format: 3 }))).toThrow(/its format is 3, .* 2: take a newer promot/);
});

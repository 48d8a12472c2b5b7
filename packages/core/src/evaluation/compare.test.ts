// Comparisons of folders that are written here, as evaluations write them.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pairedBootstrap } from '../metrics/bootstrap.js';
import { computeMetric } from '../metrics/index.js';
import { compareResults } from './compare.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'promot-compare-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const references = Array.from({ length: 40 }, (_, i) => (i % 2 ? ['True'] : ['False']));
const sentences = references.map((_, i) => [`the garden number ${i} lies by the river`]);

interface Made {
  readonly metric: 'accuracy' | 'bleu';
  readonly outputs: readonly string[];
  /** Metrics after the first. */
  readonly others?: readonly string[];
  readonly nll?: boolean;
  /** In front of every input. */
  readonly exemplar?: string;
  readonly more?: object;
}

/** Writes a folder of results. */
function write(name: string, tasks: Record<string, Made>, settings: object = { beams: 4 }): string {
  const out = join(folder, name);
  mkdirSync(out);
  const entries = Object.entries(tasks).map(([task, { metric, others = [], outputs, nll, exemplar = '', more }]) => {
    const right = metric === 'bleu' ? sentences : references;
    const { score, signature, perExample } = computeMetric(metric, outputs, right);
    const all = [metric, ...others].map((name) => ({ metric: name, ...computeMetric(name, outputs, right) }));
    const line = (trimmed: string, i: number) => ({
      input: `${exemplar}Is ${i}?`,
      output: ` ${trimmed}`,
      trimmed,
      references: right[i],
      score: perExample?.[i] ?? 0,
      ...(others.length > 0 && { scores: all.map((one) => one.perExample?.[i] ?? 0) }),
      ...(nll && { reference: { logprob: -trimmed.length, tokens: 2 } }),
    });
    writeFileSync(
      join(out, `samples-${task}.jsonl`),
      outputs.map((output, i) => `${JSON.stringify(line(output, i))}\n`).join(''),
    );
    const facts = { version: '1', split: 'test', shots: 1, seed: 0, n: outputs.length, dataFingerprint: 'd' };
    const metrics = others.length > 0 && {
      metrics: all.map((one) => ({ metric: one.metric, score: one.score, signature: one.signature })),
    };
    return { task, metric, score, signature, ...metrics, ...facts, ...more };
  });
  const report = entries.length === 1 ? entries[0] : { tasks: entries, average: 0 };
  writeFileSync(join(out, 'results.json'), JSON.stringify({ ...report, settings, modelFingerprint: name }));
  return out;
}

const mostlyRight = references.map(([label], i) => (i < 36 ? label! : 'neither'));
const mostlyWrong = references.map(([label], i) => (i < 10 ? label! : 'neither'));
const same = sentences.map(([sentence]) => sentence!);
const shorter = same.map((sentence, i) => (i % 4 ? sentence : sentence.replace('lies ', '')));

test('differences, significance, average, outputs that changed', () => {
  const a = write('a', { x: { metric: 'accuracy', outputs: mostlyWrong }, y: { metric: 'bleu', outputs: same } });
  const b = write('b', { x: { metric: 'accuracy', outputs: mostlyRight }, y: { metric: 'bleu', outputs: shorter } });
  const found = compareResults([a, b, a], 2);
  const [x, y] = found.tasks;
  expect(x).toMatchObject({ task: 'x', metric: 'accuracy', n: 40, changed: 26, notes: [] });
  expect(x!.scores[0]).toEqual({ score: 25 });
  expect(x!.scores[1]).toMatchObject({ score: 90, difference: 65 });
  expect(x!.scores[1]!.pValue).toBeLessThan(0.01);
  expect(x!.scores[1]!.interval!.low).toBeGreaterThan(30);
  expect(x!.scores[2]).toMatchObject({ score: 25, difference: 0, pValue: 1 });
  expect(x!.changes).toEqual([
    { input: 'Is 10?', references: ['False'], outputs: ['neither', 'False', 'neither'] },
    { input: 'Is 11?', references: ['True'], outputs: ['neither', 'True', 'neither'] },
  ]);
  // BLEU has no scores of single examples: it is computed anew.
  const direct = pairedBootstrap(computeMetric('bleu', same, sentences), computeMetric('bleu', shorter, sentences));
  expect(y!.scores[1]).toMatchObject({ difference: direct.difference, pValue: direct.pValue });
  expect(found.averages![1]).toBeCloseTo((90 + y!.scores[1]!.score) / 2, 9);
  expect(found.settings).toEqual({ modelFingerprint: ['a', 'b', 'a'] });
});

test('perplexity is computed anew from how likely the choices are', () => {
  const made = (name: string, nats: readonly number[]) => {
    const out = join(folder, name);
    mkdirSync(out);
    const score = Math.exp(nats.reduce((sum, one) => sum + one, 0) / nats.length);
    const metrics = [
      { metric: 'acc', score: 100, signature: 'a' },
      { metric: 'perplexity', score, signature: 'p' },
    ];
    const facts = { version: '1', split: 'test', shots: 0, seed: 0, n: nats.length, dataFingerprint: 'd' };
    writeFileSync(
      join(out, 'results.json'),
      JSON.stringify({ task: 'x', ...metrics[0], metrics, ...facts, settings: {}, modelFingerprint: name }),
    );
    const lines = nats.map((one) => ({
      input: 'in',
      output: 'b',
      trimmed: 'b',
      references: ['b'],
      score: 100,
      scores: [100, Math.exp(one)],
      choices: [{ text: 'b', logprob: -one, tokens: 1, greedy: true }],
      right: 0,
    }));
    writeFileSync(join(out, 'samples-x.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    return out;
  };
  const [x] = compareResults([made('u', [1, 3, 2]), made('v', [2, 4, 3])]).tasks;
  const { metric, scores } = x!.others![0]!;
  expect(metric).toBe('perplexity');
  expect(scores[0]!.score).toBeCloseTo(Math.exp(2), 9);
  expect(scores[1]!.difference).toBeCloseTo(Math.exp(3) - Math.exp(2), 9);
});

test('every metric of a task is compared', () => {
  const others = ['chrf', 'rouge-2'];
  const a = write('r', { x: { metric: 'bleu', outputs: same, others } });
  const b = write('s', { x: { metric: 'bleu', outputs: shorter, others } });
  const [x] = compareResults([a, b]).tasks;
  expect(x!.others!.map(({ metric }) => metric)).toEqual(others);
  for (const { metric, scores } of x!.others!) {
    const direct = pairedBootstrap(computeMetric(metric, same, sentences), computeMetric(metric, shorter, sentences));
    expect(scores[1]!.difference).toBeCloseTo(direct.difference, 9);
    expect(scores[1]!.pValue).toBe(direct.pValue);
  }
  const plain = write('t', { x: { metric: 'bleu', outputs: same } });
  const [partly] = compareResults([a, plain]).tasks;
  expect(partly!.others![0]!.scores).toEqual([{ score: 100 }, null]);
});

test('nll beside the score, lower is better', () => {
  const a = write('c', { x: { metric: 'accuracy', outputs: mostlyWrong, nll: true } }, { beams: 4 });
  const b = write('d', { x: { metric: 'accuracy', outputs: mostlyRight, nll: true } }, { beams: 1 });
  const [x] = compareResults([a, b]).tasks;
  const mean = (outputs: readonly string[]) => outputs.reduce((sum, text) => sum + text.length, 0) / (2 * 40);
  expect(x!.nll![0]!.score).toBeCloseTo(mean(mostlyWrong), 9);
  expect(x!.nll![1]!.difference).toBeCloseTo(mean(mostlyRight) - mean(mostlyWrong), 9);
  expect(x!.nll![1]!.pValue).toBeLessThan(0.05);
  expect(compareResults([a, b]).settings.beams).toEqual([4, 1]);
  const without = write('e', { x: { metric: 'accuracy', outputs: mostlyRight } });
  expect(compareResults([a, without]).tasks[0]!.nll).toBeUndefined();
});

test('what cannot be compared is not', () => {
  const a = write('f', { x: { metric: 'accuracy', outputs: mostlyWrong } });
  const data = write('g', { x: { metric: 'accuracy', outputs: mostlyRight, more: { dataFingerprint: 'other' } } });
  const shots = write('h', { x: { metric: 'accuracy', outputs: mostlyRight, more: { shots: 4 } } });
  const task = write('i', { z: { metric: 'accuracy', outputs: mostlyRight } });
  const found = compareResults([a, data, shots, task]);
  expect(found.tasks.map(({ scores }) => scores.map((score) => score?.score ?? null))).toEqual([
    [25, null, 90, null],
    [null, null, null, 90],
  ]);
  expect(found.tasks[0]!.notes).toEqual([
    `${data} has another dataFingerprint: not compared`,
    'shots differ: 1, 1, 4, -',
  ]);
  expect(found.averages).toBeUndefined();
});

test('other exemplars in front of the same examples: a note says how many prompts differ', () => {
  const exemplar = 'Is 1? True\n\n';
  const a = write('o', { x: { metric: 'accuracy', outputs: mostlyWrong, exemplar } });
  const b = write('p', { x: { metric: 'accuracy', outputs: mostlyRight, exemplar: 'Is 2? False\n\n' } });
  expect(compareResults([a, b]).tasks[0]!.notes).toEqual([
    '40 of 40 prompts differ (other exemplars, or another length limit)',
  ]);
  const same = write('q', { x: { metric: 'accuracy', outputs: mostlyRight, exemplar } });
  expect(compareResults([a, same]).tasks[0]!.notes).toEqual([]);
});

test('folders at fault are refused', () => {
  const a = write('j', { x: { metric: 'accuracy', outputs: mostlyWrong } });
  expect(() => compareResults([a])).toThrow(/needs two/u);
  expect(() => compareResults([a, folder])).toThrow(/no results\.json/u);
  const wrong = write('k', { x: { metric: 'accuracy', outputs: mostlyRight, more: { score: 17 } } });
  expect(() => compareResults([a, wrong])).toThrow(/gives accuracy 90, results\.json says 17/u);
  const outside = write('l', { x: { metric: 'accuracy', outputs: mostlyRight, more: { task: '../j/x' } } });
  expect(() => compareResults([a, outside])).toThrow(/results\.json: tasks\.0\.task/u);
  const short = write('m', { x: { metric: 'accuracy', outputs: mostlyRight, more: { n: 41 } } });
  expect(() => compareResults([a, short])).toThrow(/has 40 samples, results\.json speaks of 41/u);
  const broken = write('n', { x: { metric: 'accuracy', outputs: mostlyRight } });
  writeFileSync(join(broken, 'samples-x.jsonl'), '{"input": 3}\n'.repeat(40));
  expect(() => compareResults([a, broken])).toThrow(/samples-x\.jsonl line 1: input/u);
});

// Tasks of one's own from training to score: nothing that the paper's tasks cut is cut here.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { promot } from './command-line.js';

const model = fileURLToPath(new URL('../../core/golden/models/t5-v1.0', import.meta.url));
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'promot-own-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a model that learned to ask questions scores 100: its outputs are not cut at "Q:"', async () => {
  const rows = [
    { q: 'The sky is blue.', a: 'Q: What colour is the sky? A: blue' },
    { q: 'Grass is green.', a: 'Q: What colour is grass? A: green' },
  ];
  writeFileSync(join(folder, 'qgen.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const task = join(folder, 'qgen.yaml');
  writeFileSync(
    task,
    'name: qgen\nfiles: { train: qgen.jsonl, validation: qgen.jsonl }\ninput: "{q} answer:"\ntarget: "{a}"\n' +
      'metric: [rouge-L, { name: exact-match, normalize: none }, { name: chrf, wordOrder: 2 }]\n',
  );
  const out = join(folder, 'run');
  const settings =
    'batchSize=2 stage2.steps=150 stage2.keepEvery=150 stage2.learningRate=0.01 dropout=0 labelSmoothing=0 ' +
    'beams=1 precision=fp32';
  const flags = ['--model', model, '--task', task, '--method', 'fine-tune', '--out', out];
  const trained = await promot('train', ...flags, '--set', ...settings.split(' '), '--json');
  expect(trained.code).toBe(0);
  expect(JSON.parse(trained.out)).toMatchObject({ metric: 'rouge-L', finished: true });

  const results = join(folder, 'results');
  const evaluated = await promot('eval', '--model', out, '--task', task, '--out', results, '--json');
  const found = JSON.parse(evaluated.out);
  expect(found.metrics.map(({ score }: { score: number }) => score)).toEqual([100, 100, 100]);
  const samples = readFileSync(join(results, 'samples-qgen.jsonl'), 'utf8');
  expect(samples).toContain('"trimmed":"Q: What colour is the sky? A: blue"');
});

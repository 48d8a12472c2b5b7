// A small real task on a golden model, for tests of training: tell whether a colour word was named.
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const goldenModel = (name: string) => fileURLToPath(new URL(`../golden/models/${name}`, import.meta.url));

/** A fresh folder with task.yaml and its data: 24 training and 6 validation examples. */
export function smallTask(): { folder: string; task: string } {
  const folder = mkdtempSync(join(tmpdir(), 'promot-test-'));
  mkdirSync(folder, { recursive: true });
  const nouns = ['river', 'garden', 'train', 'bridge', 'sailor', 'station'];
  const line = (i: number) => {
    const colour = i % 2 === 0;
    return JSON.stringify({
      text: `The ${colour ? 'red' : 'new'} ${nouns[i % 6]} ${i}`,
      label: colour ? 'True' : 'False',
    });
  };
  const lines = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => `${line(from + i)}\n`).join('');
  writeFileSync(join(folder, 'train.jsonl'), lines(0, 24));
  writeFileSync(join(folder, 'validation.jsonl'), lines(24, 30));
  writeFileSync(
    join(folder, 'task.yaml'),
    [
      'name: colours',
      'files: { train: train.jsonl, validation: validation.jsonl }',
      'input: "{text} question: Is it red? answer:"',
      'target: "{label}"',
      'labels: ["True", "False"]',
      'metric: accuracy',
      '',
    ].join('\n'),
  );
  return { folder, task: join(folder, 'task.yaml') };
}

/** Settings that make a run of seconds: three kept checkpoints a stage. */
export const smallSettings = {
  seed: 0,
  precision: 'fp32',
  batchSize: 6,
  microBatchSize: 4,
  promptLength: 3,
  beams: 1,
  stage1: { steps: 6, keepEvery: 2 },
  stage2: { steps: 6, keepEvery: 2, learningRate: 0.01 },
};

// A small real task on a golden model, for tests of training: tell whether a colour word was named.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openSafetensors, scope, type Tensor, writeSafetensors } from '@promot/torch';

export const goldenModel = (name: string) => fileURLToPath(new URL(`../golden/models/${name}`, import.meta.url));

/** A copy of a golden model or adapter at `to`; the tensors of `file` are changed in it. */
export function spoiltCopy(
  name: string,
  to: string,
  file = 'model.safetensors',
  change: (tensors: Map<string, Tensor>) => void = () => {},
): string {
  cpSync(goldenModel(name), to, { recursive: true });
  scope(() => {
    const stored = openSafetensors(join(to, file));
    const tensors = new Map([...stored.entries.keys()].map((key) => [key, stored.tensor(key).clone()]));
    stored.close();
    change(tensors);
    writeSafetensors(join(to, file), tensors);
  });
  return to;
}

/** The golden models that have a small copy. */
export type SmallModel = 't5-v1.1' | 'llama';
const made = new Map<SmallModel, string>();

/**
 * A golden model cut to one layer (a side), for tests that do not look at its values: a run takes half the time. Made
 * once a process, and removed when it ends.
 */
export function smallModel(name: SmallModel = 't5-v1.1'): string {
  const there = made.get(name);
  if (there !== undefined) return there;
  const parent = mkdtempSync(join(tmpdir(), 'promot-test-'));
  process.once('exit', () => rmSync(parent, { recursive: true, force: true }));
  const folder = spoiltCopy(name, join(parent, 'one-layer'), 'model.safetensors', (tensors) => {
    for (const key of tensors.keys()) if (/\.(block|layers)\.[1-9]/u.test(key)) tensors.delete(key);
  });
  const file = join(folder, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8'));
  for (const key of Object.keys(config)) if (/^num_(decoder_|hidden_)?layers$/u.test(key)) config[key] = 1;
  writeFileSync(file, JSON.stringify(config));
  made.set(name, folder);
  return folder;
}

/** A fresh folder with task.yaml and its data: 24 training and 6 validation examples. */
export function smallTask(): { folder: string; task: string } {
  const folder = mkdtempSync(join(tmpdir(), 'promot-test-'));
  return { folder, task: writeTask(folder, 'colours', ['True', 'False']) };
}

/**
 * A second task in a folder of that name: the same question with a longer input and other labels; 16 training examples.
 */
export function otherTask(folder: string): string {
  return writeTask(join(folder, 'shades'), 'shades', ['Yes', 'No'], 16, 'Somebody said: ');
}

function writeTask(folder: string, name: string, labels: readonly string[], training = 24, start = ''): string {
  mkdirSync(folder, { recursive: true });
  const nouns = ['river', 'garden', 'train', 'bridge', 'sailor', 'station'];
  const line = (i: number) => {
    const colour = i % 2 === 0;
    return JSON.stringify({
      text: `${start}The ${colour ? 'red' : 'new'} ${nouns[i % 6]} ${i}`,
      label: labels[colour ? 0 : 1],
    });
  };
  const lines = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => `${line(from + i)}\n`).join('');
  writeFileSync(join(folder, 'train.jsonl'), lines(0, training));
  writeFileSync(join(folder, 'validation.jsonl'), lines(24, 30));
  writeFileSync(
    join(folder, 'task.yaml'),
    [
      `name: ${name}`,
      'files: { train: train.jsonl, validation: validation.jsonl }',
      'input: "{text} question: Is it red? answer:"',
      'target: "{label}"',
      `labels: ${JSON.stringify(labels)}`,
      'metric: accuracy',
      '',
    ].join('\n'),
  );
  return join(folder, 'task.yaml');
}

/** Settings that make a run of seconds: three kept checkpoints a stage. */
export const smallSettings = {
  preset: 'paper',
  seed: 0,
  precision: 'fp32',
  batchSize: 6,
  microBatchSize: 4,
  promptLength: 3,
  beams: 1,
  stage1: { steps: 6, keepEvery: 2 },
  stage2: { steps: 6, keepEvery: 2, learningRate: 0.01 },
};

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { adapterName, adapterOfTask } from './run-task.js';

const folder = mkdtempSync(join(tmpdir(), 'promot-run-task-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const task = join(folder, 'mine.yaml');
writeFileSync(task, 'name: mine\nfiles: { train: a.csv }\ninput: "{a}"\ntarget: "{b}"\nmetric: exact-match\n');

/** A run of a method on `mine`, with these folders in it. */
function run(name: string, method: string, ...adapters: string[]): string {
  const path = join(folder, name);
  for (const adapter of adapters) mkdirSync(join(path, adapter), { recursive: true });
  writeFileSync(join(path, 'run.json'), JSON.stringify({ method, model: 'lab', task, config: {} }));
  return path;
}

test.each([
  ['promot', ['prompt'], 'prompt', 'soft prompt'],
  ['promot', ['prompts/mine', 'prompts/other'], 'prompts/mine', 'soft prompt'],
  ['lora-first', ['lora'], 'lora', 'LoRA'],
])('a run of %s with %j asks its own task with %s', async (method, adapters, adapter, name) => {
  const path = run(adapters.join('-').replaceAll('/', '_'), method, ...adapters);
  expect(await adapterOfTask(path, task)).toBe(join(path, adapter));
  expect(adapterName(join(path, adapter))).toBe(name);
  expect(await adapterOfTask(path, 'rte')).toBeUndefined();
});

test('without an adapter: LoRA in the weights, and a model that is no run', async () => {
  expect(await adapterOfTask(run('merged', 'lora', 'lora'), task)).toBeUndefined();
  expect(await adapterOfTask(folder, task)).toBeUndefined();
});

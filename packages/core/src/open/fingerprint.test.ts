// Fingerprints of run folders that are written here: what is hashed, and what is not.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { fingerprintModel, fingerprintPrompt } from './fingerprint.js';

const temporary = mkdtempSync(join(tmpdir(), 'promot-fingerprint-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

function write(path: string, content: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}
/** A run folder of method lora-first that holds this adapter. */
function loraFirst(name: string, adapter: string): string {
  const path = join(temporary, name);
  write(join(path, 'run.json'), JSON.stringify({ method: 'lora-first', model: 'lab', task: 'rte', config: {} }));
  write(join(path, 'lora/adapter_config.json'), '{"peft_type": "LORA"}');
  write(join(path, 'lora/adapter_model.safetensors'), adapter);
  write(join(path, 'model/model.safetensors'), 'the same weights');
  return path;
}

test('of lora-first runs with other adapters: they differ', async () => {
  const [a, same, other] = [loraFirst('a', 'one'), loraFirst('same', 'one'), loraFirst('other', 'two')];
  expect(await fingerprintPrompt(same)).toBe(await fingerprintPrompt(a));
  expect(await fingerprintPrompt(other)).not.toBe(await fingerprintPrompt(a));
  // The run and the folder in it that is used are the same adapter.
  expect(await fingerprintPrompt(join(a, 'lora'))).toBe(await fingerprintPrompt(a));
});

test('of a run: results that were written into its folder do not change it, other weights do', async () => {
  const run = loraFirst('with-results', 'one');
  const before = await fingerprintModel(run);
  write(join(run, 'results/results.json'), '{"score": 50}');
  expect(await fingerprintModel(run)).toBe(before);
  write(join(run, 'model/model.safetensors'), 'other weights');
  expect(await fingerprintModel(run)).not.toBe(before);
});

test('of many bytes, on a thread of its own: that of the same bytes hashed here', async () => {
  const path = join(temporary, 'large.gguf');
  const bytes = Buffer.alloc((1 << 24) + 5, 'weights');
  writeFileSync(path, bytes);
  const expected = createHash('sha256')
    .update(JSON.stringify(['', bytes.length]))
    .update(bytes)
    .digest('hex');
  expect(await fingerprintModel(path)).toBe(expected);
});

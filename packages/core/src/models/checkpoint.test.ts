// Tensors out of a torch.save archive: strides, offsets, shared storages and types, as PyTorch sees them.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { scope, watchTensors } from '@promot/torch';
import { afterAll, expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import { readJsonObject } from '../base/json.js';
import { readGguf } from '../formats/gguf.js';
import { openCheckpoint } from './checkpoint.js';

const golden = fileURLToPath(new URL('../../golden/files', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'promot-checkpoint-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
cpSync(join(golden, 'state.bin'), join(folder, 'pytorch_model.bin'));
const { state } = JSON.parse(readFileSync(join(golden, 'expected.json'), 'utf8')) as {
  state: Record<string, { dtype: string; shape: number[]; values: number[] }>;
};

test('every floating-point tensor of pytorch_model.bin has its values, the others are refused', () => {
  const left = watchTensors();
  const checkpoint = openCheckpoint(folder);
  expect([...checkpoint.tensors.keys()]).toEqual(Object.keys(state));
  for (const [name, { dtype, shape, values }] of Object.entries(state)) {
    const stored = checkpoint.tensors.get(name)!;
    expect(stored.shape).toEqual(shape);
    scope(() => {
      if (!dtype.includes('float')) {
        expect(() => stored.load()).toThrow(UserError);
        expect(() => stored.load()).toThrow(`${name} holds ${dtype}`);
        return;
      }
      const loaded = stored.load();
      expect(loaded.dtype).toBe(dtype);
      expect(loaded.shape).toEqual(shape);
      expect(loaded.toNumbers(), name).toEqual(values);
    });
  }
  checkpoint.close();
  expect(left()).toBe(0);
});

test("what a clone without Git LFS leaves in the files' place is told", () => {
  const cloned = join(folder, 'cloned');
  mkdirSync(cloned);
  const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n';
  for (const name of ['model.safetensors', 'tokenizer.json', 'a.gguf']) writeFileSync(join(cloned, name), pointer);
  const message = (name: string) => `${join(cloned, name)} is not the file itself but its pointer of Git LFS: run "git`;
  expect(() => openCheckpoint(cloned)).toThrow(message('model.safetensors'));
  expect(() => readJsonObject(cloned, 'tokenizer.json')).toThrow(message('tokenizer.json'));
  expect(() => readGguf(join(cloned, 'a.gguf'))).toThrow(message('a.gguf'));
});

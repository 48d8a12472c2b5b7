// Tensors out of a torch.save archive: strides, offsets, shared storages and types, as PyTorch sees them.
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { scope, watchTensors } from '@promot/torch';
import { afterAll, expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
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

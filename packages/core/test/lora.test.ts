// LoRA against PEFT: golden/lora.py wrote adapters and the logits that PEFT gives with them.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noGrad, openSafetensors, scope, type Tensor } from '@promot/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { attachLora, writeLoraAdapter } from '../src/adapters/lora.js';
import { readLoraAdapter } from '../src/adapters/lora-adapter.js';
import { loadFolder } from '../src/models/load.js';
import { goldenModel } from './small-task.js';

const out = mkdtempSync(join(tmpdir(), 'promot-lora-'));
afterAll(() => rmSync(out, { recursive: true, force: true }));

describe.each(['t5-v1.1', 'llama', 't5gemma2'])('%s', (name) => {
  const folder = goldenModel(name);
  const { model } = loadFolder(folder, 'float32');
  const { batch } = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as {
    batch: { inputIds: number[][]; targetIds: number[][] };
  };
  const examples = batch.inputIds.map((input, i) => ({ input, target: batch.targetIds[i]! }));
  const logits = () => noGrad(() => model.logits(examples));
  const apart = (a: Tensor, b: Tensor) => scope(() => a.sub(b).abs().amax().item());
  const golden = openSafetensors(join(folder, 'lora/expected.safetensors')).tensor('logits');
  const plain = logits();

  test('the logits are PEFT’s; off again, the model is what it was', () => {
    const lora = readLoraAdapter(join(folder, 'lora'), model);
    expect(apart(logits(), plain)).toBeGreaterThan(0.1);
    expect(apart(logits(), golden)).toBeLessThan(1e-4);
    lora.detach();
    expect(apart(logits(), plain)).toBe(0);
  });

  test('written and read again, the logits are the same bits', async () => {
    const lora = attachLora(model, 4, 0);
    noGrad(() => {
      for (const [key, tensor] of lora.parameters) if (key.includes('lora_B')) tensor.fill_(0.1);
    });
    const before = logits();
    expect(apart(before, plain)).toBeGreaterThan(0.1);
    await writeLoraAdapter(join(out, name), lora);
    lora.detach();
    const again = readLoraAdapter(join(out, name), model);
    expect(apart(logits(), before)).toBe(0);
    again.detach();
  });

  test('a fresh addition changes nothing', () => {
    const lora = attachLora(model, 4, 0);
    expect(lora.layers().length).toBe(
      name === 't5-v1.1' ? 12 : model.shape.layers.decoder * 2 + model.shape.layers.encoder * 2,
    );
    expect(apart(logits(), plain)).toBe(0);
    lora.detach();
  });

  test('merged into the weights, the logits stay', () => {
    const lora = readLoraAdapter(join(folder, 'lora'), model);
    lora.merge();
    expect(apart(logits(), golden)).toBeLessThan(1e-4);
  });

  test('an adapter of another model is refused by name', () => {
    const other = goldenModel(name === 'llama' ? 't5-v1.1' : 'llama');
    expect(() => readLoraAdapter(join(other, 'lora'), model)).toThrow(/task_type is \w+, which is not for \S+ models/);
    expect(() => readLoraAdapter(join(folder, 'prompt'), model)).toThrow(/peft_type is PROMPT_TUNING; expected LORA/);
  });
});

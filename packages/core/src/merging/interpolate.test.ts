// Mixing two models' weights: the ends bit for bit, the middle by hand, and what is refused.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type DType, openSafetensors, scope, watchTensors } from '@promot/torch';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readJsonObject } from '../base/json.js';
import { buildModel, loadFolder } from '../models/load.js';
import { saveModel } from '../models/save.js';
import { RandomWeights } from '../models/weights.js';
import { loadTokenizer } from '../tokenizer/load.js';
import { interpolate } from './interpolate.js';

const golden = fileURLToPath(new URL('../../golden/models', import.meta.url));
const base = join(golden, 't5-v1.1');
let folder: string;
let tuned: string;

/** A golden model's architecture with other weights and some changed keys. */
async function makeModel(name: string, changes: Record<string, unknown> = {}, dtype: DType = 'float32') {
  const config = { ...readJsonObject(base, 'config.json'), ...changes };
  const model = buildModel(config, new RandomWeights(7, dtype), name);
  await saveModel(join(folder, name), { model, tokenizer: loadTokenizer(base) });
  for (const parameter of model.parameters.values()) parameter.dispose();
  return join(folder, name);
}

const weights = (path: string) => openSafetensors(join(path, 'model.safetensors'));

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'promot-interpolate-'));
  tuned = await makeModel('tuned');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the written model', () => {
  test.each([
    [0, () => base],
    [1, () => tuned],
  ])('factor %d is one of the two, bit for bit', async (factor, same) => {
    const out = join(folder, `end-${factor}`);
    const left = watchTensors();
    await interpolate({ base, tuned, factor, out });
    expect(left()).toBe(0);
    scope(() => {
      const [written, expected] = [weights(out), weights(same())];
      expect([...written.entries.keys()].sort()).toEqual([...expected.entries.keys()].sort());
      for (const name of expected.entries.keys())
        expect(Buffer.from(written.tensor(name).toBytes()).equals(expected.tensor(name).toBytes()), name).toBe(true);
    });
  });

  test('a factor between is (1 - f) * base + f * tuned, and the folder loads as it stands', async () => {
    const out = join(folder, 'new', 'quarter');
    // What a process that was killed left, and what one that lives is about to write.
    const beside = [`${out}.${hostname()}-999999999.tmp`, `${out}.${hostname()}-${process.ppid}.tmp`];
    for (const path of beside) mkdirSync(path, { recursive: true });
    const done: number[] = [];
    const result = await interpolate({
      base,
      tuned,
      factor: 0.25,
      out,
      onEvent: (event) => event.type === 'progress' && done.push(event.done),
    });
    expect(beside.map((path) => existsSync(path))).toEqual([false, true]);
    scope(() => {
      const [written, first, second] = [weights(out), weights(base), weights(tuned)];
      for (const name of written.entries.keys()) {
        const [w, b, t] = [written, first, second].map((file) => file.tensor(name).toNumbers());
        for (let i = 0; i < w!.length; i += 97) expect(w![i]).toBeCloseTo(0.75 * b![i]! + 0.25 * t![i]!, 5);
      }
      expect(done).toEqual(Array.from({ length: written.entries.size }, (_, i) => i + 1));
    });
    const { model, tokenizer } = loadFolder(out, 'float32');
    const numbers = [...model.parameters.values()].reduce((sum, { numel }) => sum + numel, 0);
    expect(result).toEqual({ out, factor: 0.25, parameters: numbers });
    expect(tokenizer.encode('The river')).toEqual(loadTokenizer(base).encode('The river'));
    for (const parameter of model.parameters.values()) parameter.dispose();
  });

  test('bf16 models are mixed in float32 and rounded at the end', async () => {
    const pair = { base: await makeModel('bf16', {}, 'bfloat16'), tuned };
    const out = join(folder, 'bf16-half');
    await interpolate({ ...pair, factor: 0.5, out, precision: 'bf16' });
    scope(() => {
      const [written, first, second] = [weights(out), weights(pair.base), weights(pair.tuned)];
      const name = 'shared.weight';
      const half = first.tensor(name).float().mul(0.5).add(second.tensor(name).to('bfloat16').float(), 0.5);
      expect(written.tensor(name).equal(half.to('bfloat16'))).toBe(true);
    });
  });
});

describe('refused, with nothing left behind', () => {
  const refused = async (pattern: RegExp, changes: Partial<Parameters<typeof interpolate>[0]>) => {
    const parent = mkdtempSync(join(folder, 'refused-'));
    const left = watchTensors();
    await expect(interpolate({ base, tuned, factor: 0.5, out: join(parent, 'out'), ...changes })).rejects.toThrow(
      pattern,
    );
    expect(readdirSync(parent)).toEqual([]);
    expect(left()).toBe(0);
  };

  test('factors outside of 0 to 1, and a folder that exists', async () => {
    for (const factor of [-0.1, 1.1, Number.NaN]) await refused(/from 0 .* to 1/u, { factor });
    const out = join(folder, 'mine');
    mkdirSync(out);
    await refused(/mine exists already/u, { out });
    expect(existsSync(out)).toBe(true);
  });

  test('another architecture, by the key or by the first tensor that differs', async () => {
    await refused(/does not come from .*: model_type is "llama" in the first, "t5"/u, { tuned: join(golden, 'llama') });
    const [heads, wide] = [await makeModel('heads', { num_heads: 4, d_kv: 8 }), await makeModel('wide', { d_ff: 96 })];
    await refused(/num_heads is 4 in the first/u, { tuned: heads });
    await refused(/encoder\.block\.0\.layer\.1\.DenseReluDense\.wi_0\.weight is of shape \[96,\d+\] in the first/u, {
      tuned: wide,
    });
    await refused(/decoder\.block\.1\.\S+ is missing in the first/u, {
      tuned: await makeModel('shallow', { num_decoder_layers: 1 }),
    });
  });
});

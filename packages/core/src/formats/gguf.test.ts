import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fromBytes, scope } from '@promot/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { countCompared } from '../../test/compared.js';
import { UserError } from '../base/errors.js';
import { huggingFaceName, openGguf } from '../models/families/gguf.js';
import { dequantize } from './dequantize.js';
import { readGguf } from './gguf.js';

const golden = fileURLToPath(new URL('../../golden/files/', import.meta.url));
const expected = JSON.parse(readFileSync(join(golden, 'expected.json'), 'utf8'));
const temporary = mkdtempSync(join(tmpdir(), 'promot-gguf-'));
afterAll(() => rmSync(temporary, { recursive: true }));

function write(bytes: Uint8Array): string {
  const path = join(temporary, 'changed.gguf');
  writeFileSync(path, bytes);
  return path;
}

function floats(base64: string): Float32Array {
  const bytes = Buffer.from(base64, 'base64');
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

describe('readGguf', () => {
  const compared = countCompared('src/formats/gguf.test.ts', 'readGguf');
  test('reads metadata', () => {
    const { metadata } = readGguf(join(golden, 'types.gguf'));
    expect(metadata.get('general.architecture')).toBe('test');
    expect(metadata.get('test.numbers')).toEqual([1, 2, 3]);
    expect(metadata.get('test.strings')).toEqual(['a', 'é', '']);
    expect(metadata.get('test.float')).toBe(0.25);
    expect(metadata.get('test.negative')).toBe(-(2 ** 40));
  });

  test.each(Object.keys(expected.types))('%s gives the numbers of the gguf package, bit for bit', (type) => {
    const file = readGguf(join(golden, 'types.gguf'));
    const tensor = file.tensors.find(({ name }) => name === type)!;
    const { shape, sha256, first } = expected.types[type];
    expect([tensor.type, tensor.shape]).toEqual([type, shape]);
    const { byteOffset, byteLength } = tensor;
    const bytes = readFileSync(file.path).subarray(byteOffset, byteOffset + byteLength);
    const values = scope(() => dequantize(tensor.type, fromBytes(bytes, 'uint8', [byteLength]), shape).toArray());
    expect(values.subarray(0, 32)).toEqual(floats(first));
    // -0 and 0 differ here.
    expect(createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex')).toBe(sha256);
    compared(values.length);
  });

  test('a tensor of more blocks than are read at once', () => {
    const [size, repeats] = [34, 40_000];
    const one = Uint8Array.from({ length: size }, (_, i) => 7 * i + 60);
    const all = new Uint8Array(size * repeats);
    for (let i = 0; i < repeats; i++) all.set(one, size * i);
    scope(() => {
      const numbers = (bytes: Uint8Array, rows: number) =>
        dequantize('Q8_0', fromBytes(bytes, 'uint8', [bytes.length]), [rows, 32]);
      expect(numbers(all, repeats).equal(numbers(one, 1).expand(repeats, 32))).toBe(true);
    });
  });

  test('a file cut short anywhere is refused', () => {
    const whole = readFileSync(join(golden, 'types.gguf'));
    for (let length = 0; length < whole.length - 32; length += length < 2500 ? 29 : 999) {
      expect(() => readGguf(write(whole.subarray(0, length)))).toThrow(UserError);
    }
  });

  test('a damaged byte never gives a tensor outside the file', () => {
    const whole = readFileSync(join(golden, 'types.gguf'));
    let refused = 0;
    for (let at = 0; at < 900; at += 2) {
      const changed = Buffer.from(whole);
      changed[at] = changed[at]! ^ 0xff;
      try {
        const outside = readGguf(write(changed)).tensors.filter((x) => x.byteOffset + x.byteLength > whole.length);
        expect([at, outside]).toEqual([at, []]);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(100);
  });

  test('lying counts and unknown types are refused before memory is taken', () => {
    const whole = readFileSync(join(golden, 'types.gguf'));
    const change = (at: number, value: bigint) => {
      const changed = Buffer.from(whole);
      changed.writeBigUInt64LE(value, at);
      return write(changed);
    };
    expect(() => readGguf(change(8, 2n ** 60n))).toThrow(/is damaged: it holds/);
    expect(() => readGguf(change(8, 2n ** 32n))).toThrow(/more than fit in it/);
    expect(() => readGguf(change(16, 2n ** 32n))).toThrow(/more than fit in it/);
    expect(() => readGguf(change(24, 2n ** 40n))).toThrow(/more than fit in it/); // the first key's length
    expect(() => readGguf(change(0, 0n))).toThrow(/is not a GGUF file/);
    const type = whole.indexOf('Q6_K') + 4 + 4 + 16;
    const q2 = Buffer.from(whole);
    q2.writeUInt32LE(9, type);
    expect(() => readGguf(write(q2))).toThrow(/"Q6_K" is quantized in a way \(ggml type 9\)/);
  });
});

describe('openGguf', () => {
  test.each(['llama', 'qwen2'])('%s: names, shapes and numbers are those of Transformers', (name) => {
    const { tensors, config } = openGguf(join(golden, `${name}.gguf`));
    expect([...tensors.keys()].sort()).toEqual(Object.keys(expected.models[name]).sort());
    for (const [key, { shape, values }] of Object.entries(
      expected.models[name] as Record<string, { shape: number[]; values: string }>,
    )) {
      expect([key, tensors.get(key)!.shape]).toEqual([key, shape]);
      expect([key, scope(() => tensors.get(key)!.load().toArray())]).toEqual([key, floats(values)]);
    }
    expect(config).toMatchObject({
      model_type: name,
      vocab_size: 40,
      hidden_size: 32,
      intermediate_size: 24,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      head_dim: 8,
      max_position_embeddings: 64,
      rope_theta: name === 'llama' ? 5000 : 10_000,
      rope_scaling: null,
      tie_word_embeddings: name === 'qwen2',
      bos_token_id: 1,
      eos_token_id: 2,
      pad_token_id: null,
    });
    expect(config.rms_norm_eps).toBeCloseTo(1e-5, 10);
  });

  test("Llama 3's rope scaling is found in its factors", () => {
    const { config, tensors } = openGguf(join(golden, 'llama3.gguf'));
    const { rope_theta, ...scaling } = expected.models.llama3.scaling;
    expect(config).toMatchObject({ rope_theta, rope_scaling: scaling });
    expect([...tensors.keys()].sort()).toEqual(expected.models.llama3.tensors);
  });

  test('other architectures, tensors and shapes are refused', () => {
    expect(() => openGguf(join(golden, 'types.gguf'))).toThrow(/architecture "test"; .*promot has t5, llama, qwen2/);
    const whole = readFileSync(join(golden, 'llama.gguf'));
    const change = (from: string, to: string) => {
      const changed = Buffer.from(whole);
      changed.write(to, whole.indexOf(from), 'latin1');
      return write(changed);
    };
    expect(() => openGguf(change('ffn_gate', 'ffn_gats'))).toThrow(/"blk\.0\.ffn_gats\.weight" belongs to a model/);
    expect(() => openGguf(change('embedding_length', 'embedding_lengtx'))).toThrow(/embedding_length" is missing/);
    const heads = Buffer.from(whole);
    heads.writeUInt32LE(8, whole.indexOf('attention.head_count') + 'attention.head_count'.length + 4);
    expect(() => openGguf(write(heads))).toThrow(/attn_q\.weight is not of the shape/);
  });

  describe('a key more', () => {
    /** llama.gguf with this in its metadata: a number as float32, or a truth value. */
    const withKey = (key: string, value: number | boolean) => {
      const whole = readFileSync(join(golden, 'llama.gguf'));
      const sized = (text: string) => {
        const length = Buffer.alloc(8);
        length.writeUInt32LE(text.length);
        return Buffer.concat([length, Buffer.from(text)]);
      };
      const stored = Buffer.alloc(8);
      stored.writeUInt32LE(typeof value === 'boolean' ? 7 : 6);
      if (typeof value === 'number') stored.writeFloatLE(value, 4);
      else stored.writeUInt8(Number(value), 4);
      const entry = Buffer.concat([sized(`llama.${key}`), stored.subarray(0, typeof value === 'boolean' ? 5 : 8)]);
      // A text fills up to 32 bytes, on which the data is aligned.
      const [name, kind] = [sized('x'), Buffer.from([8, 0, 0, 0])];
      const without = entry.length + name.length + kind.length + 8;
      const filler = Buffer.concat([name, kind, sized(' '.repeat((32 - (without % 32)) % 32))]);
      const changed = Buffer.concat([whole.subarray(0, 24), entry, filler, whole.subarray(24)]);
      changed.writeBigUInt64LE(whole.readBigUInt64LE(16) + 2n, 16);
      return write(changed);
    };
    const open = (key: string, value: number | boolean) => () => openGguf(withKey(key, value)).config;

    test('that nobody reads is refused, unless it switches nothing on', () => {
      expect(open('attention.clamp_kqv', 8)).toThrow(/promot does not know the key llama\.attention\.clamp_kqv \(8\)/);
      expect(open('use_parallel_residual', true)).toThrow(/llama\.use_parallel_residual \(true\)/);
      expect(open('attention.causal', false)).toThrow(/llama\.attention\.causal \(false\)/);
      const plain = openGguf(join(golden, 'llama.gguf')).config;
      expect(open('attention.causal', true)()).toEqual(plain);
      expect(open('attention.clamp_kqv', 0)()).toEqual(plain);
      expect(open('vocab_size', 40)()).toEqual(plain);
    });

    test('of rotary scaling counts without its kind, as in llama.cpp', () => {
      expect(open('rope.scaling.factor', 4)()).toMatchObject({ rope_scaling: { rope_type: 'linear', factor: 4 } });
      expect(open('rope.scale_linear', 2)()).toMatchObject({ rope_scaling: { rope_type: 'linear', factor: 2 } });
    });

    test('with another width of heads is refused', () => {
      expect(open('attention.value_length', 4)).toThrow(
        /llama\.attention\.value_length is 4, and a head has 8 numbers/,
      );
      expect(open('attention.key_length', 16)).toThrow(/llama\.rope\.dimension_count is 8, and a head has 16 numbers/);
    });
  });

  test('names', () => {
    expect(huggingFaceName('blk.11.attn_q.bias')).toBe('model.layers.11.self_attn.q_proj.bias');
    expect(huggingFaceName('output.weight')).toBe('lm_head.weight');
    expect(huggingFaceName('blk.0.ffn_gate_exps.weight')).toBeUndefined();
    expect(huggingFaceName('token_types.weight')).toBeUndefined();
  });
});

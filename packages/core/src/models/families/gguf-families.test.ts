// Golden models as GGUF files (golden/gguf_families.py): the model that comes out is the folder's, which
// golden-models.test.ts compares with Transformers.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { noGrad, scope } from '@promot/torch';
import { expect, test } from 'vitest';
import { goldenFolder } from '../../../test/golden-folders.js';
import { tokenizerFromGguf } from '../../tokenizer/gguf.js';
import { openCheckpoint } from '../checkpoint.js';
import { buildModel } from '../load.js';
import { CheckpointWeights } from '../weights.js';
import { openGguf } from './gguf.js';
import { t5 } from './t5.js';

/** What the GGUF file cannot say of the folder's config.json. */
const unsaid: Record<string, (config: Record<string, unknown>) => object> = {
  // llama.cpp has no windows in the architecture `llama`.
  mistral: () => ({ sliding_window: null }),
  // Its converter stores factors; what they follow from is Llama 3's. The base is larger than the folder's.
  exaone4: ({ rope_parameters: rope }) => ({
    rope_parameters: { ...(rope as object), original_max_position_embeddings: 8192, rope_theta: 1e6 },
  }),
  qwen3: () => ({}),
  // By llama.cpp's rule for all but the largest model.
  gemma2: ({ head_dim }) => ({ query_pre_attn_scalar: head_dim }),
  // By llama.cpp's rule every fourth layer has no positions, so of three none.
  smollm3: () => ({ no_rope_layers: null }),
  olmo2: () => ({}),
  olmo3: () => ({}),
  granite: () => ({}),
  ernie4_5: () => ({}),
  phi3: () => ({}),
  // llama.cpp has T5's own distance. The family is T5's, too: mT5 is the same model.
  mt5: () => ({ relative_attention_max_distance: 128 }),
};
const asOther: Record<string, string> = { mistral: 'llama', mt5: 't5' };

test.each(Object.keys(unsaid))('%s', (name) => {
  const folder = join(goldenFolder, name);
  const read = (file: string) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as Record<string, unknown>;
  const config = read('config.json');
  const path = fileURLToPath(new URL(`../../../golden/files/families/${name}.gguf`, import.meta.url));
  const gguf = openGguf(path);
  expect(gguf.config.model_type).toBe(asOther[name] ?? name);
  const found = buildModel(gguf.config, new CheckpointWeights(path, gguf.tensors, 'float32'), path);
  const checkpoint = openCheckpoint(folder);
  const weights = new CheckpointWeights(folder, checkpoint.tensors, 'float32');
  const wanted = buildModel({ ...config, ...unsaid[name]!(config) }, weights, folder);
  checkpoint.close();

  const { batch } = read('expected.json') as { batch: { inputIds: number[][]; targetIds: number[][] } };
  const examples = batch.inputIds.map((input, i) => ({ input, target: batch.targetIds[i]! }));
  const apart = noGrad(() => scope(() => found.logits(examples).sub(wanted.logits(examples)).abs().amax().item()));
  expect(apart).toBeLessThan(1e-5);
  for (const model of [found, wanted]) for (const parameter of model.parameters.values()) parameter.dispose();
});

test("T5's tokenizer, from SentencePiece's file", () => {
  const path = fileURLToPath(new URL('../../../golden/files/families/mt5.gguf', import.meta.url));
  const found = tokenizerFromGguf(openGguf(path).metadata, path);
  const { tokens } = JSON.parse(readFileSync(join(goldenFolder, 'mt5/expected.json'), 'utf8')) as {
    tokens: { text: string; ids: number[]; decoded: string }[];
  };
  expect(tokens.length).toBeGreaterThan(5);
  for (const { text, ids, decoded } of tokens) {
    expect(found.encode(text), text).toEqual(ids);
    expect(found.decode(ids)).toBe(decoded);
  }
  // T5's sentinels stand behind the pieces.
  expect(found.encode('<extra_id_0>', { specialTokens: false })).toEqual([299]);
});

test("UMT5 has T5's architecture there, and is refused", () => {
  const has = (name: string) => name === 'enc.blk.1.attn_rel_b.weight';
  expect(t5.gguf!.matches!({ has, get: () => undefined })).toBe(false);
});

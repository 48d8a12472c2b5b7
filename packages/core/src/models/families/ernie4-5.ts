// ERNIE 4.5 (dense models): Llama whose rotary positions turn neighbouring numbers.
import { z } from 'zod';
import { only } from './config-keys.js';
import { decoderFamily } from './decoder-family.js';

export const ernie4_5 = decoderFamily({
  name: 'ernie4_5',
  architecture: 'Ernie4_5ForCausalLM',
  keys: {
    num_key_value_heads: z.int().positive().nullable().default(2),
    head_dim: z.int().positive().nullable().default(128),
    rms_norm_eps: z.number().positive().default(1e-5),
    use_bias: z.boolean().nullish(),
    // Of Baidu's own code: what positions are divided by.
    compression_ratio: only(1),
    tie_word_embeddings: z.boolean().nullable().default(true),
  },
  spec: (config, { layers, rotary }) => {
    const bias = config.use_bias === true;
    const every = { window: Infinity, rotary: rotary({ base: 5e5, planes: 'pairs' }) };
    return { layers: layers(() => every), biases: { input: bias, output: bias, feedForward: bias } };
  },
  gguf: { architecture: 'ernie4_5', config: ({ has }) => ({ use_bias: has('blk.0.attn_q.bias') }) },
});

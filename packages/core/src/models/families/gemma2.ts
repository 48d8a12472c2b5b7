// Gemma 2: caps on scores and logits, a window in every other layer: https://arxiv.org/abs/2408.00118.
import { z } from 'zod';
import { only } from './config-keys.js';
import { decoderFamily, layerTypes } from './decoder-family.js';
import { layerTypesOf } from './gguf-table.js';

export const gemma2 = decoderFamily({
  name: 'gemma2',
  architecture: 'Gemma2ForCausalLM',
  keys: {
    head_dim: z.int().positive().default(256),
    hidden_activation: z.literal('gelu_pytorch_tanh').default('gelu_pytorch_tanh'),
    query_pre_attn_scalar: z.number().positive().default(256),
    attention_bias: z.boolean().nullish(),
    sliding_window: z.int().positive().nullable().default(4096),
    layer_types: layerTypes,
    final_logit_softcapping: z.number().positive().nullable().default(30),
    attn_logit_softcapping: z.number().positive().nullable().default(50),
    use_bidirectional_attention: only(false),
    // Transformers reads hidden_activation in its place, and files may hold both.
    hidden_act: z.string().nullish(),
    cache_implementation: z.string().nullish(),
    tie_word_embeddings: z.boolean().nullable().default(true),
  },
  spec: (config, { layers, rotary, windowed }) => {
    const bias = config.attention_bias === true;
    const has = windowed(config.layer_types, (i) => i % 2 === 0);
    const turn = rotary();
    return {
      layers: layers((i) => ({ window: (has[i] && config.sliding_window) || Infinity, rotary: turn })),
      norms: 'both',
      normOffset: 1,
      activation: 'gelu-tanh',
      biases: { input: bias, output: bias, feedForward: false },
      scoreScale: config.query_pre_attn_scalar ** -0.5,
      scoreCap: config.attn_logit_softcapping ?? undefined,
      logitCap: config.final_logit_softcapping ?? undefined,
      embeddingScale: config.hidden_size ** 0.5,
    };
  },
  gguf: {
    architecture: 'gemma2',
    normsAreOneMore: true,
    config: ({ number, get, config }) => ({
      ...layerTypesOf({ get, config }),
      hidden_act: undefined,
      // llama.cpp's rule: the 27B model alone scales by another width.
      query_pre_attn_scalar:
        config.num_hidden_layers === 46 ? config.hidden_size / config.num_attention_heads : config.head_dim,
      sliding_window: number('attention.sliding_window'),
      attn_logit_softcapping: number('attn_logit_softcapping', 50),
      final_logit_softcapping: number('final_logit_softcapping', 30),
    }),
  },
});

// Gemma 3, the text model (1B and 270M, and the text part of the others): https://arxiv.org/abs/2503.19786.
import { z } from 'zod';
import { only } from './config-keys.js';
import { decoderFamily, layerTypes } from './decoder-family.js';
import { layerTypesOf } from './gguf-table.js';

export const gemma3 = decoderFamily({
  name: 'gemma3_text',
  architecture: 'Gemma3ForCausalLM',
  keys: {
    head_dim: z.int().positive().default(256),
    hidden_activation: z.literal('gelu_pytorch_tanh').default('gelu_pytorch_tanh'),
    query_pre_attn_scalar: z.number().positive().default(256),
    attention_bias: z.boolean().nullish(),
    sliding_window: z.int().positive().nullable().default(4096),
    sliding_window_pattern: z.int().positive().nullish(),
    layer_types: layerTypes,
    rope_local_base_freq: z.number().positive().nullish(),
    final_logit_softcapping: z.number().positive().nullish(),
    // Transformers reads it and leaves scores as they are.
    attn_logit_softcapping: z.number().nullish(),
    use_bidirectional_attention: only(false),
    hidden_act: z.string().nullish(),
    tie_word_embeddings: z.boolean().nullable().default(true),
  },
  spec: (config, { layers, rotary, windowed }) => {
    const bias = config.attention_bias === true;
    const has = windowed(config.layer_types, (i) => (i + 1) % (config.sliding_window_pattern ?? 6) !== 0);
    const far = { window: Infinity, rotary: rotary({ layerType: 'full_attention', base: config.rope_theta ?? 1e6 }) };
    const near = {
      window: config.sliding_window ?? Infinity,
      rotary: rotary({ layerType: 'sliding_attention', base: config.rope_local_base_freq }),
    };
    return {
      layers: layers((i) => (has[i] ? near : far)),
      norms: 'both',
      normOffset: 1,
      queryKeyNorm: 'head',
      activation: 'gelu-tanh',
      biases: { input: bias, output: bias, feedForward: false },
      scoreScale: config.query_pre_attn_scalar ** -0.5,
      logitCap: config.final_logit_softcapping ?? undefined,
      embeddingScale: config.hidden_size ** 0.5,
    };
  },
  gguf: {
    architecture: 'gemma3',
    normsAreOneMore: true,
    config: ({ number, get, config }) => ({
      ...layerTypesOf({ get, config }),
      hidden_act: undefined,
      hidden_activation: 'gelu_pytorch_tanh',
      // llama.cpp's rule: the 27B model alone scales by another width.
      query_pre_attn_scalar:
        config.num_hidden_layers === 62 ? config.hidden_size / config.num_attention_heads : config.head_dim,
      sliding_window: number('attention.sliding_window'),
      final_logit_softcapping: get('final_logit_softcapping'),
      rope_theta: undefined,
      rope_scaling: undefined,
      rope_parameters: {
        full_attention: { rope_type: 'default', rope_theta: number('rope.freq_base', 1e6), ...config.rope_scaling },
        sliding_attention: { rope_type: 'default', rope_theta: number('rope.freq_base_swa', 10_000) },
      },
    }),
  },
});

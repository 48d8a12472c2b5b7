// Phi-3, Phi-3.5-mini and Phi-4-mini: projections in one matrix, heads turned in part, LongRoPE.
import { z } from 'zod';
import { only } from './config-keys.js';
import { decoderFamily } from './decoder-family.js';
import type { RotaryKeys } from './rotary.js';

export const phi3 = decoderFamily({
  name: 'phi3',
  architecture: 'Phi3ForCausalLM',
  keys: {
    rms_norm_eps: z.number().positive().default(1e-5),
    sliding_window: z.int().positive().nullish(),
    original_max_position_embeddings: z.int().positive().default(4096),
    partial_rotary_factor: z.number().positive().max(1).nullish(),
    attention_bias: z.literal(false).nullish(),
    // Phi-4-mini's files have them, and nothing reads them.
    full_attn_mod: only(1),
    interpolate_factor: only(1),
  },
  spec: (config, { layers, rotary }) => {
    const found: RotaryKeys = { ...config.rope_scaling, ...config.rope_parameters };
    const kind = found.rope_type ?? found.type;
    const keys: RotaryKeys = {
      partial_rotary_factor: config.partial_rotary_factor,
      ...found,
      // Early files call it so; Transformers reads all of them as LongRoPE.
      rope_type: kind === 'su' || kind === 'yarn' ? 'longrope' : (kind ?? 'default'),
      original_max_position_embeddings: config.original_max_position_embeddings,
    };
    const every = { window: config.sliding_window ?? Infinity, rotary: rotary({ keys, partial: true }) };
    return { layers: layers(() => every), fused: true };
  },
  gguf: {
    architecture: 'phi3',
    turnsPartOfHead: true,
    config: ({ get, number, config: { head_dim: width, max_position_embeddings: positions } }) => ({
      // 0 stands for none.
      sliding_window: get('attention.sliding_window') || null,
      partial_rotary_factor: number('rope.dimension_count', width) / width,
      original_max_position_embeddings: number('rope.scaling.original_context_length', positions),
    }),
  },
});

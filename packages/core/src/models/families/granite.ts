// Granite 3: Llama with multipliers for embeddings, scores, what a layer adds, and logits.
import { z } from 'zod';
import { decoderFamily } from './decoder-family.js';

export const granite = decoderFamily({
  name: 'granite',
  architecture: 'GraniteForCausalLM',
  keys: {
    attention_bias: z.boolean().nullish(),
    mlp_bias: z.boolean().nullish(),
    embedding_multiplier: z.number().positive().default(1),
    logits_scaling: z.number().positive().default(1),
    residual_multiplier: z.number().positive().default(1),
    attention_multiplier: z.number().positive().default(1),
  },
  spec: (config) => {
    const attention = config.attention_bias === true;
    return {
      biases: { input: attention, output: attention, feedForward: config.mlp_bias === true },
      inputScale: config.embedding_multiplier,
      scoreScale: config.attention_multiplier,
      residualScale: config.residual_multiplier,
      logitScale: 1 / config.logits_scaling,
    };
  },
  gguf: {
    architecture: 'granite',
    permutesRotary: true,
    config: ({ number, has }) => ({
      attention_bias: has('blk.0.attn_q.bias'),
      mlp_bias: has('blk.0.ffn_up.bias'),
      embedding_multiplier: number('embedding_scale', 1),
      logits_scaling: number('logit_scale', 1),
      residual_multiplier: number('residual_scale', 1),
      attention_multiplier: number('attention.scale', 1),
    }),
  },
});

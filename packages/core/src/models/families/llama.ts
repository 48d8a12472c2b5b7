// Llama 2, 3 and 3.2, SmolLM2, and all that calls itself llama.
import { z } from 'zod';
import { decoderFamily } from './decoder-family.js';

export const llama = decoderFamily({
  name: 'llama',
  architecture: 'LlamaForCausalLM',
  keys: { attention_bias: z.boolean().nullish(), mlp_bias: z.boolean().nullish() },
  spec: ({ attention_bias: attention, mlp_bias: mlp }) => ({
    biases: { input: attention === true, output: attention === true, feedForward: mlp === true },
  }),
  gguf: {
    architecture: 'llama',
    // llama.cpp turns neighbouring pairs in this architecture, so its converter reorders rows.
    permutesRotary: true,
    config: ({ has }) => ({ attention_bias: has('blk.0.attn_q.bias'), mlp_bias: has('blk.0.ffn_up.bias') }),
  },
});

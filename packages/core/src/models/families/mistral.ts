// Mistral: Llama with a window in every layer.
import { z } from 'zod';
import { decoderFamily } from './decoder-family.js';

export const mistral = decoderFamily({
  name: 'mistral',
  architecture: 'MistralForCausalLM',
  keys: {
    num_key_value_heads: z.int().positive().nullable().default(8),
    sliding_window: z.int().positive().nullable().default(4096),
  },
  spec: ({ sliding_window: window }, { layers, rotary }) => {
    const every = { window: window ?? Infinity, rotary: rotary() };
    return { layers: layers(() => every) };
  },
});

// SmolLM3: Llama with layers that know no positions (https://arxiv.org/abs/2501.18795).
import { z } from 'zod';
import { decoderFamily, layerTypes } from './decoder-family.js';

export const smollm3 = decoderFamily({
  name: 'smollm3',
  architecture: 'SmolLM3ForCausalLM',
  keys: {
    num_key_value_heads: z.int().positive().nullable().default(4),
    attention_bias: z.boolean().nullish(),
    mlp_bias: z.boolean().nullish(),
    no_rope_layers: z.array(z.int().min(0).max(1)).nullish(),
    no_rope_layer_interval: z.int().positive().default(4),
    use_sliding_window: z.boolean().nullish(),
    sliding_window: z.int().positive().nullish(),
    max_window_layers: z.int().nullish(),
    layer_types: layerTypes,
    tie_word_embeddings: z.boolean().nullable().default(true),
  },
  spec: (config, { layers, rotary, windowed }) => {
    const turn = rotary({ base: 2e6 });
    const attention = config.attention_bias === true;
    // The key's name says the opposite: 1 is a layer that has positions.
    const turns = (i: number) =>
      config.no_rope_layers ? config.no_rope_layers[i] === 1 : (i + 1) % config.no_rope_layer_interval !== 0;
    const window = config.sliding_window ?? Infinity;
    // Transformers follows layer_types where the file has them, whatever use_sliding_window says.
    const has = windowed(config.layer_types, (i) => config.use_sliding_window === true && !turns(i));
    return {
      layers: layers((i) => ({ window: has[i] ? window : Infinity, rotary: turns(i) ? turn : undefined })),
      biases: { input: attention, output: attention, feedForward: config.mlp_bias === true },
    };
  },
  gguf: { architecture: 'smollm3', permutesRotary: true },
});

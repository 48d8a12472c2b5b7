// OLMo 2 (https://arxiv.org/abs/2501.00656): norms behind attention and feed-forward, and on the whole query and key.
// OLMo 3: the same with windows in three of four layers, whose positions are never scaled.
import { z } from 'zod';
import { decoderFamily, layerTypes } from './decoder-family.js';
import { layerTypesOf } from './gguf-table.js';

const normKeys = { rms_norm_eps: z.number().positive().default(1e-5), attention_bias: z.boolean().nullish() };

const normed = ({ attention_bias: bias }: { attention_bias?: boolean | null | undefined }) =>
  ({
    norms: 'after',
    queryKeyNorm: 'projection',
    biases: { input: bias === true, output: bias === true, feedForward: false },
  }) as const;

export const olmo2 = decoderFamily({
  name: 'olmo2',
  architecture: 'Olmo2ForCausalLM',
  keys: normKeys,
  spec: (config) => normed(config),
  // OLMo 3 has the same name there, and a window.
  gguf: { architecture: 'olmo2', matches: ({ get }) => get('attention.sliding_window') === undefined },
});

export const olmo3 = decoderFamily({
  name: 'olmo3',
  architecture: 'Olmo3ForCausalLM',
  keys: { ...normKeys, sliding_window: z.int().positive().nullable().default(4096), layer_types: layerTypes },
  spec: (config, { layers, rotary, windowed }) => {
    const has = windowed(config.layer_types, (i) => (i + 1) % 4 !== 0);
    // Of files in the old form Transformers 5.17 gives windowed layers 500,000 in any case; 4.57 gave them the file's.
    const base = config.rope_theta ?? 5e5;
    const far = { window: Infinity, rotary: rotary({ layerType: 'full_attention', base }) };
    const near = {
      window: config.sliding_window ?? Infinity,
      rotary: rotary({ layerType: 'sliding_attention', base }),
    };
    return { ...normed(config), layers: layers((i) => (has[i] ? near : far)) };
  },
  gguf: {
    architecture: 'olmo2',
    matches: ({ get }) => get('attention.sliding_window') !== undefined,
    config: (facts) => ({ sliding_window: facts.number('attention.sliding_window'), ...layerTypesOf(facts) }),
  },
});

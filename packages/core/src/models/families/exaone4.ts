// EXAONE 4.0: norms behind attention and feed-forward and on each head; where it has windows, layers without know no
// positions.
import { z } from 'zod';
import { decoderFamily, layerTypes } from './decoder-family.js';
import { layerTypesOf } from './gguf-table.js';

export const exaone4 = decoderFamily({
  name: 'exaone4',
  architecture: 'Exaone4ForCausalLM',
  keys: {
    rms_norm_eps: z.number().positive().default(1e-5),
    sliding_window: z.int().positive().nullable().default(4096),
    // A number, or a word for a pattern (LLLG) that layer_types then spell out.
    sliding_window_pattern: z.union([z.int().nonnegative(), z.string()]).nullish(),
    layer_types: layerTypes,
  },
  spec: (config, { layers, rotary, windowed }) => {
    const { sliding_window: window, sliding_window_pattern: pattern } = config;
    const every = typeof pattern === 'string' ? pattern.length : (pattern ?? 4);
    const has = windowed(config.layer_types, (i) => window !== null && every > 0 && (i + 1) % every !== 0);
    const turn = rotary();
    return {
      layers: layers((i) => ({
        window: (has[i] && window) || Infinity,
        rotary: window === null || has[i] ? turn : undefined,
      })),
      norms: 'after',
      queryKeyNorm: 'head',
    };
  },
  gguf: {
    architecture: 'exaone4',
    config: (facts) => ({ sliding_window: facts.get('attention.sliding_window') ?? null, ...layerTypesOf(facts) }),
  },
});

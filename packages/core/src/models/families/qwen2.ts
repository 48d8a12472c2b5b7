// Qwen2 and 2.5: biases on query, key and value; windows in the later layers, if any. Qwen3: no biases, norms on query
// and key.
import { z } from 'zod';
import type { LayerSpec } from '../decoder/spec.js';
import { decoderFamily, type LayerHelp, layerTypes } from './decoder-family.js';

const windowKeys = {
  use_sliding_window: z.boolean().nullish(),
  sliding_window: z.int().positive().nullable().default(4096),
  max_window_layers: z.int().nonnegative().default(28),
  layer_types: layerTypes,
};
type WindowConfig = z.infer<z.ZodObject<typeof windowKeys>>;

/** Files carry a window that they do not use; used, it is that of the layers from max_window_layers on. */
function windows(config: WindowConfig, { layers, rotary, windowed }: LayerHelp): LayerSpec[] {
  const window = (config.use_sliding_window && config.sliding_window) || Infinity;
  const has = windowed(config.layer_types, (i) => i >= config.max_window_layers);
  const turn = rotary();
  return layers((i) => ({ window: has[i] ? window : Infinity, rotary: turn }));
}

export const qwen2 = decoderFamily({
  name: 'qwen2',
  architecture: 'Qwen2ForCausalLM',
  keys: windowKeys,
  spec: (config, help) => ({
    biases: { input: true, output: false, feedForward: false },
    layers: windows(config, help),
  }),
  gguf: { architecture: 'qwen2' },
});

export const qwen3 = decoderFamily({
  name: 'qwen3',
  architecture: 'Qwen3ForCausalLM',
  keys: { ...windowKeys, head_dim: z.int().positive().default(128), attention_bias: z.boolean().nullish() },
  spec: (config, help) => ({
    queryKeyNorm: 'head',
    biases: { input: config.attention_bias === true, output: config.attention_bias === true, feedForward: false },
    layers: windows(config, help),
  }),
  gguf: { architecture: 'qwen3' },
});

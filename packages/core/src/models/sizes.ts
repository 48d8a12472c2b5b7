// Bounds of the numbers in a config.json, before anything of that size is made.
import { UserError } from '../base/errors.js';

/** Largest values by the keys they belong to; each far above what any model has. */
const bounds: readonly { readonly key: RegExp; readonly most: number }[] = [
  { key: /^(num_(hidden_|decoder_)?layers|num_(attention_|key_value_)?heads|.*_num_buckets)$/, most: 10_000 },
  { key: /^vocab_size$/, most: 4_000_000 },
  { key: /(_size|_dim|^d_model|^d_kv|^d_ff|_factor)$/, most: 10_000_000 },
  { key: /^(sliding_window|max_position_embeddings|.*max_distance|n_positions|max_window_layers)$/, most: 2 ** 31 },
];

/** Throws UserError, which begins with `place`, for a size that no model has. */
export function checkSizes(config: Readonly<Record<string, unknown>>, place: string): void {
  for (const [key, value] of Object.entries(config)) {
    const bound = typeof value === 'number' ? bounds.find((one) => one.key.test(key)) : undefined;
    if (bound && !((value as number) <= bound.most))
      throw new UserError(`${place}: ${key} is ${value}: no model has more than ${bound.most}`);
  }
}

// Names of tensors in checkpoints: the ways in which they stray from Transformers', and tensors that no model needs.
import { UserError } from '../base/errors.js';

/**
 * The tensors by the names that Transformers gives them. torch.compile puts `_orig_mod.` and data parallel training
 * `module.` in front, and a decoder that was saved without its head lacks `model.`. Throws UserError where two tensors
 * get one name.
 */
export function conventionalNames<T>(tensors: ReadonlyMap<string, T>, place: string): ReadonlyMap<string, T> {
  const named = new Map<string, T>();
  const stripped = [...tensors].map(
    ([name, value]) => [name.replace(/^(?:_orig_mod\.|module\.)+/, ''), value] as const,
  );
  const lacksModel =
    stripped.some(([name]) => name.startsWith('layers.')) && !stripped.some(([name]) => name.startsWith('model.'));
  for (const [name, value] of stripped) {
    const full = lacksModel && !name.startsWith('lm_head.') ? `model.${name}` : name;
    if (named.has(full)) throw new UserError(`${place}: two of its tensors are ${full}`);
    named.set(full, value);
  }
  return named;
}

/** Tensors that files hold and models do not use, each with the reason why that is harmless. */
const harmless: readonly { readonly name: RegExp; readonly because: string }[] = [
  { name: /\.rotary_emb\.(inv_freq|cos_cached|sin_cached)$/, because: 'follows from config.json' },
  { name: /(^|\.)(position_ids|attn\.masked_bias)$/, because: 'is a constant of old versions' },
  { name: /^(encoder|decoder)\.embed_tokens\.weight$/, because: "is T5's `shared.weight` once more" },
  { name: /\.EncDecAttention\.relative_attention_bias\.weight$/, because: 'is in old T5 files and was never used' },
];

/** Of the tensors that a model did not take those that are not known to be harmless. */
export function surplusNames(names: Iterable<string>): string[] {
  return [...names].filter((name) => !harmless.some((kind) => kind.name.test(name)));
}

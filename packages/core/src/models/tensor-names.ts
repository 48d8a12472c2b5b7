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
    const full = textModelName(lacksModel && !name.startsWith('lm_head.') ? `model.${name}` : name);
    if (named.has(full)) throw new UserError(`${place}: two of its tensors are ${full}`);
    named.set(full, value);
  }
  return named;
}

/** T5Gemma 2's encoder holds its text model in Transformers, and files name its tensors without it. */
function textModelName(name: string): string {
  return name.replace(/^model\.encoder\.(?=(?:embed_tokens|layers|norm)\.)/, 'model.encoder.text_model.');
}

/** The name of a parameter in files: the hub's, which every version of Transformers reads. */
export function storedName(parameter: string): string {
  return parameter.replace(/^model\.encoder\.text_model\./, 'model.encoder.');
}

/** Of images: T5Gemma 2's files hold them beside the text model. */
const ofImages = /^model\.encoder\.(?:vision_tower|multi_modal_projector)\.|\.eoi_embedding$/;

/** Whether some of these tensors are of images, which promot does not read. */
export function hasImageParts(names: Iterable<string>): boolean {
  return [...names].some((name) => ofImages.test(name));
}

/** Tensors that files hold and models do not use, each with the reason why that is harmless. */
const harmless: readonly { readonly name: RegExp; readonly because: string }[] = [
  { name: /\.rotary_emb\.(inv_freq|cos_cached|sin_cached)$/, because: 'follows from config.json' },
  { name: /(^|\.)(position_ids|attn\.masked_bias)$/, because: 'is a constant of old versions' },
  { name: /^(encoder|decoder)\.embed_tokens\.weight$/, because: "is T5's `shared.weight` once more" },
  { name: ofImages, because: 'is of images, and no text meets it' },
  { name: /\.EncDecAttention\.relative_attention_bias\.weight$/, because: 'is in old T5 files and was never used' },
];

/** Of the tensors that a model did not take those that are not known to be harmless. */
export function surplusNames(names: Iterable<string>): string[] {
  return [...names].filter((name) => !harmless.some((kind) => kind.name.test(name)));
}

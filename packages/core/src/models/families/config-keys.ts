// Reading config.json: the keys that a family knows, those that never matter, and an error for all others.
import { z } from 'zod';
import { UserError } from '../../base/errors.js';

/**
 * Keys that change nothing of what a model computes here: notes of the libraries that wrote the file, how to train and
 * to generate, and what the tokenizer's files say.
 */
// biome-ignore format: a key a line would be a hundred lines.
const harmless: ReadonlySet<string> = new Set([
  // Of the file.
  'architectures', 'model_type', 'transformers_version', 'dtype', 'torch_dtype', 'auto_map', 'name_or_path',
  'transformers.js_config', 'unsloth_fixed', 'unsloth_version', 'is_llama_config', 'task_specific_params',
  'finetuning_task', 'problem_type', 'id2label', 'label2id', 'license', 'cache_implementation',
  // Of running it.
  'use_cache', 'use_bfloat16', 'torchscript', 'return_dict', 'output_past', 'output_attentions',
  'output_hidden_states', 'gradient_checkpointing', 'use_return_dict', 'attn_implementation',
  // Of training it. pretraining_tp splits products into parts whose sum is the same.
  'initializer_range', 'attention_dropout', 'hidden_dropout', 'dropout_rate', 'classifier_dropout',
  'classifier_dropout_rate', 'resid_pdrop', 'embd_pdrop', 'embedding_dropout', 'initializer_factor',
  'hidden_dropout_prob', 'attention_probs_dropout_prob', 'ignored_index', 'pretraining_tp',
  // Of its text.
  'bos_token_id', 'eos_token_id', 'pad_token_id', 'unk_token_id', 'sep_token_id', 'cls_token_id', 'mask_token_id',
  'tokenizer_class', 'prefix', 'image_token_id', 'image_token_index',
  'max_sequence_length', 'tokenizer_model_max_length', 'tokenizer_padding_side',
  // Of generation, which old files keep here.
  'max_length', 'min_length', 'max_new_tokens', 'do_sample', 'early_stopping', 'num_beams', 'num_beam_groups',
  'diversity_penalty', 'temperature', 'top_k', 'top_p', 'typical_p', 'repetition_penalty', 'length_penalty',
  'no_repeat_ngram_size', 'encoder_no_repeat_ngram_size', 'num_return_sequences', 'output_scores',
  'return_dict_in_generate', 'chunk_size_feed_forward', 'bad_words_ids', 'exponential_decay_length_penalty',
]);

/** Whether a value switches nothing on: null, false, an empty list or object. */
function isEmpty(value: unknown): boolean {
  return value === null || value === false || (typeof value === 'object' && Object.keys(value as object).length === 0);
}

/**
 * Throws UserError where `config` holds a key that is not `known`, is not harmless and has a value that may switch
 * something on: nobody can say that the model computes the same without it.
 */
export function checkKeys(config: object, known: Iterable<string>, place: string, within = ''): void {
  const all = new Set(known);
  for (const [key, value] of Object.entries(config)) {
    if (all.has(key) || harmless.has(key) || key.startsWith('_') || isEmpty(value)) continue;
    if (key === 'quantization_config' || key === 'quantization')
      throw new UserError(`${place}: the weights are quantized (${key}): take the original model, or a GGUF file`);
    throw new UserError(
      `${place}: promot does not know the key ${within}${key}, which may change what the model computes; ` +
        'take it out of the file if you know that it does not',
    );
  }
}

/**
 * The configuration as the schema has it. Throws UserError for a key that is missing, wrong or unknown (`checkKeys`).
 */
export function parseConfig<S extends z.ZodObject>(schema: S, config: object, place: string): z.infer<S> {
  const parsed = schema.safeParse(config);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    const missing = path.length === 1 && (config as Record<string, unknown>)[String(path[0])] === undefined;
    throw new UserError(`${place}: ${path.join('.')} ${missing ? 'is missing' : `is wrong: ${message}`}`);
  }
  checkKeys(config, Object.keys(schema.shape), place);
  return parsed.data;
}

/** Throws UserError where a token id has no row in the vocabulary. */
export function checkIds(
  config: { readonly vocab_size: number } & Readonly<Record<string, unknown>>,
  keys: readonly string[],
  place: string,
): void {
  for (const key of keys)
    for (const id of [config[key]].flat())
      if (typeof id === 'number' && (id < 0 || id >= config.vocab_size))
        throw new UserError(`${place}: ${key} is ${id}, but vocab_size is ${config.vocab_size}`);
}

/** A key that must have this value, or be absent: another one is a model that promot does not have. */
export function only<T extends z.core.util.Literal>(value: T) {
  return z
    .literal(value, { error: (issue) => `promot knows ${JSON.stringify(value)}, not ${JSON.stringify(issue.input)}` })
    .nullish();
}

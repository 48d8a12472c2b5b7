// T5 v1.0, T5.1.1, FLAN-T5 and ByT5 (t5); mT5 (mt5).
import { z } from 'zod';
import { T5, t5Config } from '../t5/t5.js';
import { checkIds, parseConfig } from './config-keys.js';
import type { Family } from './family.js';
import type { GgufTable } from './gguf-table.js';

/** Keys that Transformers derives from others. */
const derived = {
  is_encoder_decoder: z.unknown().optional(),
  is_gated_act: z.unknown().optional(),
  dense_act_fn: z.unknown().optional(),
  n_positions: z.unknown().optional(),
};

/** Parts of a block as llama.cpp calls them: Transformers' name, by the number of the layer in encoder and decoder. */
const blockParts: Readonly<Record<string, string>> = {
  attn_q: '0.SelfAttention.q',
  attn_k: '0.SelfAttention.k',
  attn_v: '0.SelfAttention.v',
  attn_o: '0.SelfAttention.o',
  attn_rel_b: '0.SelfAttention.relative_attention_bias',
  attn_norm: '0.layer_norm',
  cross_attn_q: '1.EncDecAttention.q',
  cross_attn_k: '1.EncDecAttention.k',
  cross_attn_v: '1.EncDecAttention.v',
  cross_attn_o: '1.EncDecAttention.o',
  // Early checkpoints hold it, and no model reads it.
  cross_attn_rel_b: '1.EncDecAttention.relative_attention_bias',
  cross_attn_norm: '1.layer_norm',
};
const topParts: Readonly<Record<string, string>> = {
  token_embd: 'shared',
  'enc.output_norm': 'encoder.final_layer_norm',
  'dec.output_norm': 'decoder.final_layer_norm',
  output: 'lm_head',
};
const gate = 'enc.blk.0.ffn_gate.weight';

/** mT5 has the same architecture there, and is the same model. UMT5, whose every layer has a bias, has it, too. */
const gguf: GgufTable = {
  architecture: 't5',
  matches: ({ has }) => !has('enc.blk.1.attn_rel_b.weight'),
  own: {
    config: ({ get, number, has }) => ({
      d_model: number('embedding_length'),
      d_kv: number('attention.key_length'),
      d_ff: number('feed_forward_length'),
      num_layers: number('block_count'),
      num_decoder_layers: number('decoder_block_count', number('block_count')),
      num_heads: number('attention.head_count'),
      relative_attention_num_buckets: number('attention.relative_buckets_count'),
      layer_norm_epsilon: number('attention.layer_norm_rms_epsilon'),
      // As llama.cpp reads it.
      feed_forward_proj: has(gate) ? 'gated-gelu' : 'relu',
      tie_word_embeddings: !has('output.weight'),
      decoder_start_token_id: get('decoder_start_token_id') ?? 0,
    }),
    tensorName(name, { has }) {
      const part = /^(.*)\.weight$/u.exec(name)?.[1] ?? '';
      const top = topParts[part];
      if (top !== undefined) return `${top}.weight`;
      const [, side, block, key] = /^(enc|dec)\.blk\.(\d+)\.([a-z_]+)$/u.exec(part) ?? [];
      const last = side === 'enc' ? 1 : 2;
      const feedForward: Readonly<Record<string, string>> = {
        ffn_gate: `${last}.DenseReluDense.wi_0`,
        ffn_up: `${last}.DenseReluDense.${has(gate) ? 'wi_1' : 'wi'}`,
        ffn_down: `${last}.DenseReluDense.wo`,
        ffn_norm: `${last}.layer_norm`,
      };
      const found = key && (blockParts[key] ?? feedForward[key]);
      return found && `${side === 'enc' ? 'encoder' : 'decoder'}.block.${block}.layer.${found}.weight`;
    },
  },
};

function t5Family(name: 't5' | 'mt5', architecture: string): Family {
  return {
    name,
    kind: 'encoder-decoder',
    architecture,
    gguf: name === 't5' ? gguf : undefined,
    build(raw, weights, place) {
      const config = parseConfig(t5Config.extend(derived), raw, place);
      checkIds(config, ['pad_token_id', 'decoder_start_token_id', 'eos_token_id'], place);
      return new T5(config, weights);
    },
  };
}

export const t5 = t5Family('t5', 'T5ForConditionalGeneration');
export const mt5 = t5Family('mt5', 'MT5ForConditionalGeneration');

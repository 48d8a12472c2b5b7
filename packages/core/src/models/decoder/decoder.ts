// The Llama family: Llama 2 and 3, SmolLM2, Mistral, Qwen2 and 2.5, with Hugging Face's parameter names.
// Shapes: B batch, L sequence length (prompt, input and target), E width, H heads, G key/value heads, D head width, V rows.
import {
  arange,
  cat,
  type Embedding,
  keep,
  type Linear,
  ones,
  type Parameters,
  type RMSNorm,
  scaledDotProductAttention,
  scope,
  type Tensor,
  tril,
} from '@promot/torch';
import { z } from 'zod';
import { UserError } from '../../base/errors.js';
import { type Dropout, maybe } from '../dropout.js';
import { attentionBias } from '../mask.js';
import type { Decoding, ForwardOptions, Ids, LanguageModel, ModelShape, Prefix, TokenizedExample } from '../model.js';
import { idTensor, pad } from '../padding.js';
import type { Weights } from '../weights.js';
import { Cache, type Context, contextOf, type KeysAndValues, ReadPrefix } from './cache.js';
import { type Places, Rope, ropeConfig, type Turn } from './rope.js';

/** The keys of config.json that matter, with Transformers' defaults. */
export const llamaConfig = z.looseObject({
  model_type: z.enum(['llama', 'mistral', 'qwen2']),
  vocab_size: z.int().positive(),
  hidden_size: z.int().positive(),
  intermediate_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  num_key_value_heads: z.int().positive().nullish(),
  head_dim: z.int().positive().nullish(),
  rms_norm_eps: z.number().positive().default(1e-6),
  rope_theta: z.number().positive().nullish(),
  rope_scaling: ropeConfig.nullish(),
  rope_parameters: ropeConfig.nullish(),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  hidden_act: z.literal('silu').default('silu'),
  sliding_window: z.int().positive().nullish(),
  use_sliding_window: z.boolean().nullish(),
  max_window_layers: z.int().nonnegative().nullish(),
  layer_types: z.array(z.string()).nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  initializer_range: z.number().positive().default(0.02),
  pad_token_id: z.int().nullish(),
  eos_token_id: z.union([z.int(), z.array(z.int())]).nullish(),
});
export type LlamaConfig = z.infer<typeof llamaConfig>;

export class Llama implements LanguageModel {
  readonly kind = 'decoder-only';
  readonly shape: ModelShape;
  readonly parameters: Parameters;
  readonly linears: ReadonlyMap<string, Linear>;
  readonly head: Linear;
  readonly #config: LlamaConfig;
  readonly #embed: Embedding;
  readonly #layers: Layer[];
  readonly #norm: RMSNorm;
  readonly #rope: Rope;
  readonly #window: number;

  constructor(config: LlamaConfig, weights: Weights) {
    this.#config = config;
    const { hidden_size: width, vocab_size: rows, initializer_range: std } = config;
    this.#embed = weights.embedding('model.embed_tokens', rows, width, std);
    this.#layers = Array.from(
      { length: config.num_hidden_layers },
      (_, i) => new Layer(config, weights, `model.layers.${i}`),
    );
    this.#norm = weights.norm('model.norm', width, config.rms_norm_eps);
    this.head = weights.head(this.#embed.weight, std, config.tie_word_embeddings === true);
    this.#rope = new Rope(config, headWidthOf(config));
    this.#window = windowOf(config);
    this.parameters = new Map(weights.parameters);
    this.linears = new Map(weights.linears);
    const ends = [config.eos_token_id ?? []].flat();
    this.shape = {
      vocabularySize: rows,
      width,
      endOfSequence: ends,
      padding: config.pad_token_id ?? ends[0] ?? 0,
    };
  }

  get embedding(): Tensor {
    return this.#embed.weight;
  }

  config(): Record<string, unknown> {
    const names = { llama: 'LlamaForCausalLM', mistral: 'MistralForCausalLM', qwen2: 'Qwen2ForCausalLM' };
    return {
      ...this.#config,
      architectures: [names[this.#config.model_type]],
      tie_word_embeddings: this.head.weight === this.#embed.weight,
    };
  }

  logits(batch: readonly TokenizedExample[], { prompt, prefix, dropout }: ForwardOptions = {}): Tensor {
    return scope(() => {
      // No place sees what comes after it: the prompt's are the same for every example, and are read once for all.
      const readPrompt = prompt && new ReadPrefix(prompt.size(0));
      try {
        const rows = readPrompt?.length ?? 0;
        const before: Tensor[] = [];
        if (readPrompt) {
          const x = maybe(dropout, prompt!.to(this.embedding.dtype).unsqueeze(0));
          before.push(this.#run(x, positions(rows), causalMask, dropout, readPrompt));
        }
        const context = contextOf(readPrompt ?? prefix);
        const read = context?.prefix?.length ?? 0;
        if (rows === 0 && batch.some((e) => e.input.length === 0))
          throw new UserError(
            read === 0
              ? 'an empty input has nothing to predict the first target token from: give it a start token or a soft prompt'
              : 'an input behind a prefix needs a token of its own',
          );
        // The last target token is predicted, never read. Padding stands at the end, where causal attention does not look.
        const { ids, longest } = pad(
          batch.map((e) => [...e.input, ...e.target.slice(0, -1)]),
          this.shape.padding,
        );
        if (longest > 0) {
          const x = this.#embed.forward(ids);
          const mask = this.#trainingMask(longest, read, x);
          before.push(this.#run(maybe(dropout, x), positions(longest, read), mask, dropout, context));
        }
        const hidden = cat(before.map((x) => x.reshape(-1, x.size(2))));
        // A token is predicted at the place before its own; before the first stands the prompt's last row.
        const places = batch.flatMap(({ input, target, answers = [] }, b) =>
          [...answers, ...target.map((_, j) => input.length + j)].map((place) =>
            place === 0 ? rows - 1 : rows + b * longest + place - 1,
          ),
        );
        return this.#toLogits(hidden.indexSelect(0, idTensor(places)));
      } finally {
        readPrompt?.dispose();
      }
    });
  }

  /** A window measures places in columns, which padding behind a prefix would falsify: such models read all anew. */
  readPrefix(ids: Ids, prompt?: Tensor): Prefix | undefined {
    const length = (prompt?.size(0) ?? 0) + ids.length;
    if (length === 0 || this.#window < Infinity) return undefined;
    return scope(() => {
      const embedded = ids.length > 0 ? [this.#embed.forward(idTensor(ids))] : [];
      const x = cat(prompt ? [prompt.to(this.embedding.dtype), ...embedded] : embedded).unsqueeze(0);
      const read = new ReadPrefix(length);
      this.#run(x, positions(length), causalMask, undefined, read);
      return read;
    });
  }

  startDecoding(inputs: readonly Ids[], { prompt, prefix }: { prompt?: Tensor; prefix?: Prefix } = {}): Decoding {
    const rows = prompt?.size(0) ?? 0;
    if (rows === 0 && inputs.some((input) => input.length === 0))
      throw new UserError('an empty input has nothing to go on from: give it a start token or a soft prompt');
    return scope(() => {
      const shared = contextOf(prefix)?.prefix;
      const read = shared?.length ?? 0;
      const cache = new Cache(
        inputs.map((input) => read + rows + input.length),
        shared,
      );
      const first = () =>
        scope(() => {
          // Padding at the start, before the prompt: all rows end at the same place, and places are as far apart as columns,
          // which a window relies on. A prefix stands before it all.
          const { ids, longest } = pad(inputs, this.shape.padding, 'left');
          const gaps = inputs.map((input) => longest - input.length);
          let x = this.#embed.forward(ids);
          if (prompt) x = insertPrompt(prompt.to(x.dtype), x, gaps);
          const length = rows + longest;
          const real = arange(length).unsqueeze(0).ge(idTensor(gaps).unsqueeze(1)).unsqueeze(1).unsqueeze(1);
          const causal = this.#visible(length);
          const bias = attentionBias(behindPrefix(real.logicalAnd(causal), read), x);
          cache.bias = keep(attentionBias(behindPrefix(real, read), x));
          const places = gaps.flatMap((gap) => Array.from({ length }, (_, i) => read + Math.max(0, i - gap)));
          const hidden = this.#run(x, { places, rows: inputs.length, length }, { bias }, undefined, cache);
          return this.#toLogits(hidden.select(1, length - 1));
        });
      const next = (tokens: readonly number[]) =>
        scope(() => {
          const x = this.#embed.forward(idTensor(tokens).unsqueeze(1));
          const { bias, places } = cache.grow(this.#window);
          const hidden = this.#run(x, { places, rows: tokens.length, length: 1 }, { bias }, undefined, cache);
          return this.#toLogits(hidden.select(1, 0));
        });
      return {
        first,
        next,
        reorder: (order, stay) => scope(() => cache.reorder(order, stay)),
        rewind: () => scope(() => cache.rewind()),
        dispose: () => cache.dispose(),
      };
    });
  }

  #run(x: Tensor, at: Places, mask: Mask, dropout: Dropout | undefined, context?: Context): Tensor {
    return scope(() => {
      const turn = this.#rope.at(at, x);
      let y = x;
      this.#layers.forEach((layer, i) => {
        y = layer.forward(y, turn, mask, dropout, context, i);
      });
      return this.#norm.forward(y);
    });
  }

  #toLogits(hidden: Tensor): Tensor {
    return this.head.forward(hidden);
  }

  /**
   * Right padding needs no mask beside causality, which the fused kernel has built in; a window needs one of its own, and so do
   * `length` places behind a prefix of `read` places: [1, 1, length, read + length].
   */
  #trainingMask(length: number, read: number, like: Tensor): Mask {
    if (read === 0 && length <= this.#window) return causalMask;
    return {
      bias: attentionBias(this.#visible(read + length).narrow(0, read, length), like)
        .unsqueeze(0)
        .unsqueeze(0),
    };
  }

  /** [L, L]: true where place t may look at place s: s <= t, and t - s < window. */
  #visible(length: number): Tensor {
    const square = ones([length, length], 'bool');
    const causal = tril(square);
    return length <= this.#window ? causal : causal.logicalAnd(tril(square, -this.#window).logicalNot());
  }
}

/** [..., L] -> [..., read + L]: a prefix of `read` places can always be seen. */
function behindPrefix(allowed: Tensor, read: number): Tensor {
  return read === 0 ? allowed : cat([ones([...allowed.shape.slice(0, -1), read], 'bool'), allowed], -1);
}

/** Puts the prompt [P, E] into each row of x [B, L, E] after its padding, which is `gaps[row]` wide: [B, P + L, E]. */
function insertPrompt(prompt: Tensor, x: Tensor, gaps: readonly number[]): Tensor {
  return scope(() => {
    const [batch, length, width] = x.shape as [number, number, number];
    const rows = prompt.size(0);
    // Every place's number in the prompt's rows followed by all rows of x.
    const places = gaps.flatMap((gap, b) =>
      Array.from({ length: rows + length }, (_, i) => {
        if (i < gap) return rows + b * length + i;
        return i < gap + rows ? i - gap : b * length + i;
      }),
    );
    return cat([prompt, x.reshape(-1, width)])
      .indexSelect(0, idTensor(places))
      .view(batch, rows + length, width);
  });
}

/** What attention may see: everything before (fused), or a bias added to the scores. */
type Mask = { causal: true; bias?: undefined } | { causal?: undefined; bias: Tensor };
const causalMask: Mask = { causal: true };

function positions(length: number, start = 0): Places {
  return { places: Array.from({ length }, (_, i) => start + i), rows: 1, length };
}

/** Attention and gated feed-forward, each normed before and added after. */
class Layer {
  readonly #attention: Attention;
  readonly #attentionNorm: RMSNorm;
  readonly #gate: Linear;
  readonly #up: Linear;
  readonly #down: Linear;
  readonly #mlpNorm: RMSNorm;

  constructor(config: LlamaConfig, weights: Weights, name: string) {
    const { hidden_size: width, intermediate_size: inner, initializer_range: std, rms_norm_eps: epsilon } = config;
    const bias = config.model_type === 'llama' && config.mlp_bias === true;
    this.#attention = new Attention(config, weights, `${name}.self_attn`);
    this.#gate = weights.linear(`${name}.mlp.gate_proj`, width, inner, std, bias);
    this.#up = weights.linear(`${name}.mlp.up_proj`, width, inner, std, bias);
    this.#down = weights.linear(`${name}.mlp.down_proj`, inner, width, std, bias);
    this.#attentionNorm = weights.norm(`${name}.input_layernorm`, width, epsilon);
    this.#mlpNorm = weights.norm(`${name}.post_attention_layernorm`, width, epsilon);
  }

  /** Dropout falls on what each half adds (Llama itself trains without; the attention weights are left alone). */
  forward(
    x: Tensor,
    turn: Turn,
    mask: Mask,
    dropout: Dropout | undefined,
    context: Context | undefined,
    index: number,
  ): Tensor {
    return scope(() => {
      const y = x.add(
        maybe(dropout, this.#attention.forward(this.#attentionNorm.forward(x), turn, mask, context, index)),
      );
      return y.add(maybe(dropout, this.#feedForward(this.#mlpNorm.forward(y))));
    });
  }

  #feedForward(x: Tensor): Tensor {
    return scope(() => this.#down.forward(this.#gate.forward(x).silu().mul(this.#up.forward(x))));
  }
}

/** Attention with rotary positions and G <= H key/value heads, each shared by H / G query heads. */
class Attention {
  readonly #q: Linear;
  readonly #k: Linear;
  readonly #v: Linear;
  readonly #o: Linear;
  readonly #heads: number;
  readonly #groups: number;

  constructor(config: LlamaConfig, weights: Weights, name: string) {
    const { hidden_size: width, num_attention_heads: heads, initializer_range: std } = config;
    this.#heads = heads;
    this.#groups = config.num_key_value_heads ?? heads;
    if (heads % this.#groups)
      throw new UserError(
        `config.json: num_attention_heads ${heads} is not a multiple of num_key_value_heads ${this.#groups}`,
      );
    const headWidth = headWidthOf(config);
    const biased = config.model_type === 'qwen2' || (config.model_type === 'llama' && config.attention_bias === true);
    this.#q = weights.linear(`${name}.q_proj`, width, heads * headWidth, std, biased);
    this.#k = weights.linear(`${name}.k_proj`, width, this.#groups * headWidth, std, biased);
    this.#v = weights.linear(`${name}.v_proj`, width, this.#groups * headWidth, std, biased);
    this.#o = weights.linear(`${name}.o_proj`, heads * headWidth, width, std, biased && config.model_type === 'llama');
  }

  forward(x: Tensor, turn: Turn, mask: Mask, context: Context | undefined, index: number): Tensor {
    return scope(() => {
      const query = turn(this.#split(this.#q.forward(x), this.#heads));
      const own: KeysAndValues = [
        turn(this.#split(this.#k.forward(x), this.#groups)),
        this.#split(this.#v.forward(x), this.#groups),
      ];
      const parts = context ? context.append(index, ...own) : [own];
      const prefix = context?.prefix?.layers[index];
      if (x.size(1) === 1 && mask.bias)
        return this.#o.forward(this.#attendFromOnePlace(query, prefix ? [prefix, ...parts] : parts, mask.bias));
      // Of more places than one only the first tokens are read.
      let [[keys, values]] = parts as [KeysAndValues];
      if (prefix) {
        const [k, v] = prefix.map((t) => t.expand(x.size(0), -1, -1, -1)) as KeysAndValues;
        [keys, values] = [cat([k, keys], 2), cat([v, values], 2)];
      }
      const mixed = scaledDotProductAttention(query, this.#share(keys), this.#share(values), {
        mask: mask.bias,
        causal: mask.causal,
      });
      return this.#o.forward(mixed.transpose(1, 2).reshape(x.size(0), x.size(1), -1));
    });
  }

  /**
   * One new place per row: query [B, H, 1, D]; parts of keys and values [R, G, L, D], each of which R rows stands for B / R rows
   * in turn; bias [B, 1, 1, all L] -> [B, 1, H * D]. Copies no keys: the H / G heads of a group stand side by side as if they
   * were places, and so do the rows that look at the same keys.
   */
  #attendFromOnePlace(query: Tensor, parts: readonly KeysAndValues[], bias: Tensor): Tensor {
    return scope(() => {
      const [rows, , , width] = query.shape as [number, number, number, number];
      const grouped = query.reshape(rows, this.#groups, -1, width);
      if (parts.length === 1) {
        const [[keys, values]] = parts as [KeysAndValues];
        return scaledDotProductAttention(grouped, keys, values, { mask: bias }).reshape(rows, 1, -1);
      }
      // [B, G, q, x] -> [R, G, B / R * q, x], and back.
      const together = (t: Tensor, own: number) =>
        own === rows
          ? t
          : t
              .reshape(own, rows / own, this.#groups, -1, t.size(3))
              .transpose(1, 2)
              .reshape(own, this.#groups, -1, t.size(3));
      const apart = (t: Tensor, own: number) =>
        own === rows
          ? t
          : t
              .view(own, this.#groups, rows / own, -1, t.size(3))
              .transpose(1, 2)
              .reshape(rows, this.#groups, -1, t.size(3));
      const scores = parts.map(([keys]) => {
        const own = keys.size(0);
        return apart(together(grouped, own).matmul(keys.transpose(2, 3)), own);
      });
      const weights = cat(scores, 3)
        .mul(width ** -0.5)
        .add(bias)
        .float()
        .softmax(3)
        .to(query.dtype);
      let start = 0;
      const mixed = parts.map(([, values]) => {
        const [own, , length] = values.shape as [number, number, number];
        const part = weights.narrow(3, start, length);
        start += length;
        return apart(together(part, own).matmul(values), own);
      });
      return mixed.reduce((sum, x) => sum.add(x)).reshape(rows, 1, -1);
    });
  }

  /** [B, L, heads * D] -> [B, heads, L, D] */
  #split(x: Tensor, heads: number): Tensor {
    return x.view(x.size(0), x.size(1), heads, -1).transpose(1, 2);
  }

  /** [B, G, L, D] -> [B, H, L, D] */
  #share(x: Tensor): Tensor {
    const repeats = this.#heads / this.#groups;
    if (repeats === 1) return x;
    const [b, g, l, d] = x.shape as [number, number, number, number];
    return x
      .unsqueeze(2)
      .expand(b, g, repeats, l, d)
      .reshape(b, g * repeats, l, d);
  }
}

/** How far back attention looks, in places. */
function windowOf({
  model_type,
  use_sliding_window,
  sliding_window,
  layer_types,
  max_window_layers,
  num_hidden_layers: layers,
}: LlamaConfig): number {
  // Qwen2 files carry a window that they do not use.
  if (typeof sliding_window !== 'number' || (model_type !== 'mistral' && use_sliding_window !== true)) return Infinity;
  // As Transformers has it: Mistral's window is every layer's, Qwen2's that of the layers from max_window_layers on.
  const first = model_type === 'mistral' ? 0 : (max_window_layers ?? 28);
  const windowed = layer_types
    ? layer_types.filter((type) => type === 'sliding_attention').length
    : Math.max(0, layers - first);
  if (windowed === 0) return Infinity;
  if (windowed < layers)
    throw new UserError(
      `config.json: ${windowed} of ${layers} layers have a sliding window; promot can give it to all or none`,
    );
  return sliding_window;
}

function headWidthOf(config: LlamaConfig): number {
  return config.head_dim ?? config.hidden_size / config.num_attention_heads;
}

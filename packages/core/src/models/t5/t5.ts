// T5 v1.0, T5.1.1, mT5, FLAN-T5 and ByT5: the encoder-decoder of Raffel et al. 2020, with Hugging Face's parameter
// names. Shapes: B batch, S source length (with the prompt), T target length, E width (d_model), H heads, D head width
// (d_kv), V rows.
import {
  type Activation,
  arange,
  attendFromOne,
  cat,
  type Embedding,
  embedding,
  gated,
  inModule,
  type KeyPart,
  keep,
  Linear,
  ones,
  type Parameters,
  type RMSNorm,
  scaledDotProductAttention,
  scope,
  type Tensor,
  tril,
} from '@promot/torch';
import { z } from 'zod';
import { Blocks } from '../blocks.js';
import { type Dropout, maybe } from '../dropout.js';
import { FedTokens } from '../fed-tokens.js';
import type { LinearPlace } from '../linear-place.js';
import { attentionBias, never } from '../mask.js';
import type { Decoding, ForwardOptions, Ids, LanguageModel, ModelShape, TokenizedExample } from '../model.js';
import { idTensor, pad } from '../padding.js';
import type { Weights } from '../weights.js';

/** The keys of config.json that matter, with Transformers' defaults. */
export const t5Config = z.looseObject({
  model_type: z.enum(['t5', 'mt5']),
  vocab_size: z.int().positive(),
  d_model: z.int().positive(),
  d_kv: z.int().positive().default(64),
  d_ff: z.int().positive(),
  num_layers: z.int().positive(),
  num_decoder_layers: z.int().positive().nullish(),
  num_heads: z.int().positive(),
  relative_attention_num_buckets: z.int().positive().default(32),
  relative_attention_max_distance: z.int().positive().default(128),
  layer_norm_epsilon: z.number().positive().default(1e-6),
  feed_forward_proj: z.enum(['relu', 'gated-gelu', 'gated-silu']).default('relu'),
  tie_word_embeddings: z.boolean().nullish(),
  scale_decoder_outputs: z.boolean().nullish(),
  decoder_start_token_id: z.int().nonnegative().nullish(),
  pad_token_id: z.int().nonnegative().default(0),
  eos_token_id: z.union([z.int(), z.array(z.int())]).default(1),
});
type T5Config = z.infer<typeof t5Config>;

export class T5 implements LanguageModel {
  readonly kind = 'encoder-decoder';
  readonly shape: ModelShape;
  readonly architecture: Readonly<Record<string, unknown>>;
  readonly parameters: Parameters;
  readonly linears: ReadonlyMap<string, Linear>;
  readonly places: ReadonlyMap<string, LinearPlace>;
  readonly blocks = new Blocks();
  readonly head: Linear;
  readonly #config: T5Config;
  readonly #shared: Embedding;
  readonly #encoder: Stack;
  readonly #decoder: Stack;
  /** What the decoder's output is multiplied by before the head. */
  readonly #outputScale: number;
  readonly #start: number;

  constructor(config: T5Config, weights: Weights) {
    this.#config = config;
    const { d_model: width, vocab_size: rows } = config;
    // Initial values are T5's (mesh-tensorflow): embeddings with standard deviation 1; see Attention and FeedForward.
    // Checkpoints that hold a shared tensor once may hold it under any of its names.
    const tied = config.tie_word_embeddings !== false;
    const otherNames = ['decoder.embed_tokens', 'encoder.embed_tokens', ...(tied ? ['lm_head'] : [])];
    const { blocks } = this;
    this.#shared = blocks.make('embedding', weights, () => weights.embedding('shared', rows, width, 1, otherNames));
    this.#encoder = new Stack(config, weights, 'encoder', blocks);
    this.#decoder = new Stack(config, weights, 'decoder', blocks);
    this.head = weights.head(this.#shared.weight, width ** -0.5, tied);
    blocks.add(blocks, { name: 'head', parameters: () => [this.head.weight], linears: [] });
    // mT5 is T5.1.1, which does not scale; Transformers 5 calls every mT5 tied, and does not write the key.
    const scaled = config.scale_decoder_outputs ?? (tied && config.model_type !== 'mt5');
    this.#outputScale = scaled ? width ** -0.5 : 1;
    this.#start = config.decoder_start_token_id ?? config.pad_token_id;
    this.parameters = new Map(weights.parameters);
    this.linears = new Map(weights.linears);
    this.places = new Map(weights.places);
    const { num_layers: encoder, num_decoder_layers: decoder } = config;
    this.architecture = {
      model_type: config.model_type,
      num_heads: config.num_heads,
      feed_forward_proj: config.feed_forward_proj,
      scale_decoder_outputs: scaled,
      layer_norm_epsilon: config.layer_norm_epsilon,
      relative_attention_max_distance: config.relative_attention_max_distance,
    };
    this.shape = {
      family: config.model_type,
      vocabularySize: rows,
      width,
      inner: config.d_ff,
      heads: config.num_heads,
      layers: { encoder, decoder: decoder ?? encoder },
      // Positions are relative.
      positions: undefined,
      embeddingScale: 1,
      endOfSequence: [config.eos_token_id].flat(),
      padding: config.pad_token_id,
      start: this.#start,
    };
  }

  get embedding(): Tensor {
    return this.#shared.weight;
  }

  get embed(): Embedding {
    return this.#shared;
  }

  config(): Record<string, unknown> {
    return {
      ...this.#config,
      architectures: [this.#config.model_type === 'mt5' ? 'MT5ForConditionalGeneration' : 'T5ForConditionalGeneration'],
      decoder_start_token_id: this.#start,
      tie_word_embeddings: this.head.weight === this.#shared.weight,
      scale_decoder_outputs: this.#outputScale !== 1,
    };
  }

  logits(batch: readonly TokenizedExample[], options?: ForwardOptions): Tensor {
    return scope(() => this.toLogits(this.states(batch, options)));
  }

  states(batch: readonly TokenizedExample[], { prompt, dropout }: ForwardOptions = {}): Tensor {
    return scope(() => {
      const { states, mask } = this.#encode(
        batch.map((e) => e.input),
        prompt,
        dropout,
      );
      // The decoder reads the target shifted right by its start token.
      const shifted = pad(
        batch.map((e) => [this.#start, ...e.target.slice(0, -1)]),
        this.shape.padding,
      );
      const decoded = this.#decoder.forward(this.#embedded(shifted.ids), { states, statesMask: mask, dropout });
      const places = batch.flatMap(({ target }, b) => target.map((_, i) => b * shifted.longest + i));
      return decoded.reshape(-1, decoded.size(2)).indexSelect(0, idTensor(places));
    });
  }

  startDecoding(inputs: readonly Ids[], { prompt }: { prompt?: Tensor } = {}): Decoding {
    return scope(() => {
      const { states, mask } = this.#encode(inputs, prompt, undefined);
      const cache = this.#decoder.startCache(states, mask);
      const next = (tokens: readonly number[]) =>
        scope(() => {
          const hidden = this.#embedded(idTensor(tokens).unsqueeze(1));
          return this.toLogits(this.#decoder.step(hidden, cache).squeeze(1));
        });
      return {
        first: () => next(inputs.map(() => this.#start)),
        next,
        reorder: (rows, kept) => scope(() => cache.reorder(rows, kept)),
        rewind: () => scope(() => cache.rewind()),
        dispose: () => cache.dispose(),
      };
    });
  }

  /** ids [...] -> [..., E] */
  #embedded(ids: Tensor): Tensor {
    return inModule('embedding', () => this.blocks.run(this.#shared, ids, (own) => this.#shared.forward(own)));
  }

  /** Encoder states [B, S, E] and their mask [B, S], the prompt's rows included. */
  #encode(
    inputs: readonly Ids[],
    prompt: Tensor | undefined,
    dropout: Dropout | undefined,
  ): { states: Tensor; mask: Tensor } {
    const { ids, mask } = pad(inputs, this.shape.padding);
    let hidden = this.#embedded(ids);
    let whole = mask;
    if (prompt) {
      const rows = prompt.to(hidden.dtype).unsqueeze(0).expand(inputs.length, -1, -1);
      hidden = cat([rows, hidden], 1);
      whole = cat([ones([inputs.length, prompt.size(0)], 'bool'), mask], 1);
    }
    const states = this.#encoder.forward(hidden, { mask: whole, dropout });
    return { states, mask: whole };
  }

  toLogits(hidden: Tensor): Tensor {
    const scaled = this.#outputScale === 1 ? hidden : hidden.mul(this.#outputScale);
    return this.blocks.runLast(this.blocks, () => inModule('head', () => this.head.forward(scaled)));
  }
}

/** Encoder or decoder: blocks, the relative position bias that they share, and the final norm. */
class Stack {
  readonly #layers: Block[];
  readonly #norm: RMSNorm;
  readonly #positions: RelativePositions;

  constructor(
    config: T5Config,
    weights: Weights,
    side: 'encoder' | 'decoder',
    private readonly blocks: Blocks,
  ) {
    const count = side === 'encoder' ? config.num_layers : (config.num_decoder_layers ?? config.num_layers);
    this.#positions = new RelativePositions(config, weights, side);
    this.#layers = Array.from({ length: count }, (_, i) =>
      blocks.make(
        `${side} layer ${i}`,
        weights,
        () => new Block(config, weights, `${side}.block.${i}`, { stack: side, layer: i }),
      ),
    );
    this.#norm = weights.norm(`${side}.final_layer_norm`, config.d_model, config.layer_norm_epsilon);
  }

  /**
   * hidden [B, T, E] -> [B, T, E]. Encoder: `mask` [B, T] is true at real tokens. Decoder: causal, with the encoder's
   * `states` [B, S, E] and their mask; padding at the end of a target needs no mask, nothing real looks there.
   */
  forward(
    hidden: Tensor,
    {
      mask,
      states,
      statesMask,
      dropout,
    }: { mask?: Tensor; states?: Tensor; statesMask?: Tensor; dropout: Dropout | undefined },
  ): Tensor {
    return scope(() => {
      const length = hidden.size(1);
      const position = this.#positions.bias(length, length);
      // Added to the scores: the bias of relative positions, and `never` where attention must not look.
      const blocked = mask
        ? mask.logicalNot().unsqueeze(1).unsqueeze(1)
        : tril(ones([length, length], 'bool')).logicalNot();
      const selfBias = position.maskedFill(blocked, never);
      const crossBias = statesMask && paddingBias(statesMask, hidden);
      let x = maybe(dropout, hidden);
      for (const layer of this.#layers)
        x = this.blocks.run(layer, { x, selfBias, states, crossBias }, (own) =>
          layer.forward(own.x, own.selfBias, own.states, own.crossBias, dropout),
        );
      return maybe(dropout, this.#norm.forward(x));
    });
  }

  startCache(states: Tensor, mask: Tensor): Cache {
    return scope(
      () =>
        new Cache(
          keep(paddingBias(mask, states)),
          this.#layers.map((layer) => {
            return this.blocks
              .run(layer, states, (own) => layer.crossKeysAndValues(own))
              .map((part) => keep(part.contiguous())) as KeysAndValues;
          }),
        ),
    );
  }

  /** One token further: hidden [B * K, 1, E] -> [B * K, 1, E]. */
  step(hidden: Tensor, cache: Cache): Tensor {
    return scope(() => {
      const before = cache.fed.length;
      cache.fed.grow(hidden.size(0));
      const bias = this.#positions.bias(1, before + 1, before);
      let x = hidden;
      this.#layers.forEach((layer, i) => {
        x = this.blocks.run(layer, { x, bias }, (own) => layer.step(own.x, own.bias, cache, i));
      });
      return this.#norm.forward(x);
    });
  }
}

/** 0 at real tokens and `never` elsewhere: mask [B, S] -> [B, 1, 1, S]. */
function paddingBias(mask: Tensor, like: Tensor): Tensor {
  return scope(() => attentionBias(mask, like).unsqueeze(1).unsqueeze(1));
}

type KeysAndValues = [keys: Tensor, values: Tensor];

/** Keys and values of a decoder: of the encoder's states once per input, of the tokens so far once per row. */
class Cache {
  readonly fed = new FedTokens();
  constructor(
    /** [B, 1, 1, S] */
    public crossBias: Tensor,
    /** Per block, [B, H, S, D]. */
    readonly cross: KeysAndValues[],
  ) {}

  reorder(rows: readonly number[], inputs: readonly number[]): void {
    this.fed.reorder(rows);
    if (inputs.length === this.crossBias.size(0)) return;
    const index = idTensor(inputs);
    const pick = (tensor: Tensor) => {
      const picked = keep(tensor.indexSelect(0, index));
      tensor.dispose();
      return picked;
    };
    this.cross.forEach((pair, i) => {
      this.cross[i] = pair.map(pick) as KeysAndValues;
    });
    this.crossBias = pick(this.crossBias);
  }

  /** Back to the start token alone. */
  rewind(): void {
    const inputs = this.crossBias.size(0);
    const fork = this.fed.rows / inputs;
    this.fed.rewind(
      Array.from({ length: inputs }, (_, i) => i * fork),
      1,
    );
  }

  dispose(): void {
    for (const tensor of [this.crossBias, ...this.cross.flat()]) tensor.dispose();
    this.fed.clear();
  }
}

/** Self-attention, attention over the encoder's states (decoder), feed-forward; each normed before and added after. */
class Block {
  readonly #self: Attention;
  readonly #selfNorm: RMSNorm;
  readonly #cross: { attention: Attention; norm: RMSNorm } | undefined;
  readonly #feedForward: FeedForward;
  readonly #feedForwardNorm: RMSNorm;

  constructor(config: T5Config, weights: Weights, name: string, place: Omit<LinearPlace, 'parts'>) {
    const decoder = place.stack === 'decoder';
    const norm = (layer: number) =>
      weights.norm(`${name}.layer.${layer}.layer_norm`, config.d_model, config.layer_norm_epsilon);
    this.#self = new Attention(config, weights, `${name}.layer.0.SelfAttention`, { ...place, attention: 'self' });
    this.#selfNorm = norm(0);
    this.#cross = decoder
      ? {
          attention: new Attention(config, weights, `${name}.layer.1.EncDecAttention`, {
            ...place,
            attention: 'cross',
          }),
          norm: norm(1),
        }
      : undefined;
    const last = decoder ? 2 : 1;
    this.#feedForward = new FeedForward(config, weights, `${name}.layer.${last}.DenseReluDense`, place);
    this.#feedForwardNorm = norm(last);
  }

  forward(
    x: Tensor,
    selfBias: Tensor,
    states: Tensor | undefined,
    crossBias: Tensor | undefined,
    dropout: Dropout | undefined,
  ): Tensor {
    return scope(() => {
      const normed = this.#selfNorm.forward(x);
      const self = inModule('attention', () => this.#self.forward(normed, normed, selfBias, dropout));
      let y = x.add(maybe(dropout, self));
      if (this.#cross && states && crossBias) {
        const query = this.#cross.norm.forward(y);
        const { attention } = this.#cross;
        y = y.add(
          maybe(
            dropout,
            inModule('cross-attention', () => attention.forward(query, states, crossBias, dropout)),
          ),
        );
      }
      const z = this.#feedForwardNorm.forward(y);
      return y.add(
        maybe(
          dropout,
          inModule('feed-forward', () => this.#feedForward.forward(z, dropout)),
        ),
      );
    });
  }

  crossKeysAndValues(states: Tensor): KeysAndValues {
    return this.#cross!.attention.keysAndValues(states);
  }

  step(x: Tensor, selfBias: Tensor, cache: Cache, index: number): Tensor {
    return scope(() => {
      const normed = this.#selfNorm.forward(x);
      const [query, ...own] = this.#self.project(normed);
      let y = x.add(this.#self.attendFromOne(query, cache.fed.append(index, ...own), selfBias));
      const cross = this.#cross!;
      const crossQuery = cross.attention.query(cross.norm.forward(y));
      y = y.add(cross.attention.attendFromOne(crossQuery, cache.cross[index]!, cache.crossBias));
      return y.add(this.#feedForward.forward(this.#feedForwardNorm.forward(y), undefined));
    });
  }
}

/** Multi-head attention without biases; T5 does not scale by 1/sqrt(D) (it is folded into the initial weights). */
class Attention {
  readonly #q: Linear;
  readonly #k: Linear;
  readonly #v: Linear;
  readonly #o: Linear;
  readonly #heads: number;

  constructor(
    { d_model: width, num_heads: heads, d_kv: headWidth }: T5Config,
    weights: Weights,
    name: string,
    place: Omit<LinearPlace, 'parts'>,
  ) {
    const inner = heads * headWidth;
    this.#heads = heads;
    const linear = (role: 'query' | 'key' | 'value', std: number) =>
      weights.linear(`${name}.${role[0]}`, width, { ...place, parts: [{ role, rows: inner }] }, std);
    this.#q = linear('query', (width * headWidth) ** -0.5);
    this.#k = linear('key', width ** -0.5);
    this.#v = linear('value', width ** -0.5);
    const output: LinearPlace = { ...place, parts: [{ role: 'output', rows: width }] };
    this.#o = weights.linear(`${name}.o`, inner, output, inner ** -0.5);
  }

  /** x [B, T, E] looks at `source` [B, S, E]; `bias` [B or 1, H or 1, T or 1, S] is added to the scores. */
  forward(x: Tensor, source: Tensor, bias: Tensor, dropout: Dropout | undefined): Tensor {
    return scope(() => {
      const own = source === x ? this.project(x) : ([this.query(x), ...this.keysAndValues(source)] as const);
      const drops = dropout && dropout.rate > 0 ? dropout.next() : undefined;
      const mixed = scaledDotProductAttention(...own, { mask: bias, scale: 1, dropout: drops });
      return this.#o.forward(mixed.transpose(1, 2).reshape(x.size(0), x.size(1), -1));
    });
  }

  /** [B, T, E] -> queries, keys and values [B, H, T, D]. */
  project(x: Tensor): [Tensor, ...KeysAndValues] {
    return scope(() => {
      const [query, keys, values] = Linear.together([this.#q, this.#k, this.#v], x) as [Tensor, Tensor, Tensor];
      return [this.#split(query), this.#split(keys), this.#split(values)];
    });
  }

  /** [B, T, E] -> queries [B, H, T, D]. */
  query(x: Tensor): Tensor {
    return scope(() => this.#split(this.#q.forward(x)));
  }

  /** [B, S, E] -> keys and values [B, H, S, D]. */
  keysAndValues(source: Tensor): KeysAndValues {
    return scope(() => {
      const [keys, values] = Linear.together([this.#k, this.#v], source) as [Tensor, Tensor];
      return [this.#split(keys), this.#split(values)];
    });
  }

  /** Queries [B, H, 1, D] look at keys, `bias` [R, H or 1, 1, S] is added: see `attendFromOne` of @promot/torch. */
  attendFromOne(query: Tensor, keys: KeyPart, bias: Tensor): Tensor {
    return scope(() => this.#o.forward(attendFromOne(query, [keys], bias, { scale: 1 })));
  }

  /** [B, S, H * D] -> [B, H, S, D] */
  #split(x: Tensor): Tensor {
    const [rows, places] = x.shape as [number, number];
    return places === 1 ? x.view(rows, this.#heads, 1, -1) : x.view(rows, places, this.#heads, -1).transpose(1, 2);
  }
}

/** wo(act(wi x)), or gated: wo(act(wi_0 x) * wi_1 x). */
class FeedForward {
  readonly #wi: Linear;
  readonly #up: Linear | undefined;
  readonly #wo: Linear;
  /** Of the gate, where there is one. */
  readonly #activation: Activation;

  constructor(
    { d_model: width, d_ff: inner, feed_forward_proj: kind }: T5Config,
    weights: Weights,
    name: string,
    place: Omit<LinearPlace, 'parts'>,
  ) {
    const gated = kind !== 'relu';
    const linear = (of: string, role: 'gate' | 'up') =>
      weights.linear(`${name}.${of}`, width, { ...place, parts: [{ role, rows: inner }] }, width ** -0.5);
    this.#wi = gated ? linear('wi_0', 'gate') : linear('wi', 'up');
    this.#up = gated ? linear('wi_1', 'up') : undefined;
    const down: LinearPlace = { ...place, parts: [{ role: 'down', rows: width }] };
    this.#wo = weights.linear(`${name}.wo`, inner, down, inner ** -0.5);
    // "gated-gelu" means the tanh approximation in every T5 file.
    this.#activation = kind === 'gated-silu' ? 'silu' : 'gelu-tanh';
  }

  forward(x: Tensor, dropout: Dropout | undefined): Tensor {
    return scope(() => {
      const [y, up] = Linear.together(this.#up ? [this.#wi, this.#up] : [this.#wi], x) as [Tensor, Tensor?];
      const active = up ? gated(y, up, this.#activation) : y.relu();
      return this.#wo.forward(maybe(dropout, active));
    });
  }
}

/**
 * T5's relative position bias: distances fall into buckets, exact near by and logarithmic far off; a learned number per
 * bucket and head.
 */
class RelativePositions {
  readonly #bias: Embedding;
  readonly #bidirectional: boolean;
  readonly #buckets: number;
  readonly #farthest: number;

  constructor(config: T5Config, weights: Weights, side: 'encoder' | 'decoder') {
    this.#buckets = config.relative_attention_num_buckets;
    this.#farthest = config.relative_attention_max_distance;
    this.#bidirectional = side === 'encoder';
    const name = `${side}.block.0.layer.0.SelfAttention.relative_attention_bias`;
    this.#bias = weights.embedding(name, this.#buckets, config.num_heads, config.d_model ** -0.5);
  }

  /** Bias [1, H, T, S] of queries at places first, first + 1, ... (T of them) on keys at places 0 to S - 1. */
  bias(queries: number, keys: number, first = 0): Tensor {
    return scope(() => {
      // Row i: the bucket of distance key - query = i - (first + queries - 1).
      const latest = first + queries - 1;
      const buckets = idTensor(Array.from({ length: keys + queries - 1 }, (_, i) => this.#bucket(i - latest)));
      const distance = arange(keys)
        .unsqueeze(0)
        .sub(arange(queries).unsqueeze(1))
        .add(queries - 1);
      const ids = buckets.indexSelect(0, distance.reshape(-1)).view(queries, keys);
      return embedding(this.#bias.weight, ids).permute(2, 0, 1).unsqueeze(0);
    });
  }

  /** Mesh-tensorflow's _relative_position_bucket, for key place minus query place. */
  #bucket(distance: number): number {
    let buckets = this.#buckets;
    let base = 0;
    let n = -distance;
    if (this.#bidirectional) {
      buckets = Math.floor(buckets / 2);
      if (n < 0) {
        base = buckets;
        n = -n;
      }
    } else n = Math.max(n, 0);
    const exact = Math.floor(buckets / 2);
    if (n < exact) return base + n;
    // float32 arithmetic, so that distances on a boundary fall where PyTorch puts them.
    const share = Math.fround(Math.fround(Math.log(Math.fround(n / exact))) / Math.log(this.#farthest / exact));
    return base + Math.min(buckets - 1, exact + Math.floor(Math.fround(share * (buckets - exact))));
  }
}

// T5Gemma 2, its text part: Gemma 3's layers as encoder and decoder (https://arxiv.org/abs/2512.14856). The decoder
// looks at its own tokens and at the encoder's states in one softmax, and one table of embeddings serves both sides and
// the head. Shapes: B batch, K rows (beams) of each, S source length (with the prompt), T target length, E width, G key
// heads, D head width.
import {
  arange,
  cat,
  type Embedding,
  keep,
  type Linear,
  ones,
  op,
  type Parameters,
  type RMSNorm,
  scope,
  type Tensor,
  tensor,
} from '@promot/torch';
import { UserError } from '../../base/errors.js';
import { Blocks } from '../blocks.js';
import type { Mask } from '../decoder/attention.js';
import { Cache, type Context, type InFront, type KeysAndValues } from '../decoder/cache.js';
import { perWindow, positions, roundedTo, visible } from '../decoder/decoder.js';
import { Layer, type NormNames } from '../decoder/layer.js';
import { type Places, Rope, type Turn } from '../decoder/rope.js';
import type { DecoderSpec, RotarySpec } from '../decoder/spec.js';
import { type Dropout, maybe } from '../dropout.js';
import type { LinearPlace } from '../linear-place.js';
import { attentionBias } from '../mask.js';
import type { Decoding, ForwardOptions, Ids, LanguageModel, ModelShape, TokenizedExample } from '../model.js';
import { idTensor, pad } from '../padding.js';
import type { Weights } from '../weights.js';

const normNames: NormNames = {
  attention: { before: 'pre_self_attn_layernorm', after: 'post_self_attn_layernorm' },
  feedForward: { before: 'pre_feedforward_layernorm', after: 'post_feedforward_layernorm' },
};

/** The encoder's places: a token's column says nothing, because it may look forward. */
const farAway = 1e9;

interface T5Gemma2Spec {
  readonly encoder: DecoderSpec;
  readonly decoder: DecoderSpec;
  /** The token that the decoder reads first. */
  readonly start: number;
  /** The token behind an image, whose row the model does not take from the table. */
  readonly imageEnd: number;
}

export class T5Gemma2 implements LanguageModel {
  readonly kind = 'encoder-decoder';
  readonly shape: ModelShape;
  readonly architecture: Readonly<Record<string, unknown>>;
  readonly parameters: Parameters;
  readonly linears: ReadonlyMap<string, Linear>;
  readonly places: ReadonlyMap<string, LinearPlace>;
  readonly blocks = new Blocks();
  readonly head: Linear;
  readonly #embed: Embedding;
  readonly #scale: number;
  readonly #encoder: Stack;
  readonly #decoder: Stack;
  readonly #start: number;
  readonly #imageEnd: number;
  readonly #logitCap: number | undefined;
  readonly #config: (tied: boolean) => Record<string, unknown>;

  constructor(
    { encoder, decoder, start, imageEnd }: T5Gemma2Spec,
    weights: Weights,
    config: (tied: boolean) => Record<string, unknown>,
  ) {
    this.#config = config;
    this.#start = start;
    this.#imageEnd = imageEnd;
    this.#logitCap = decoder.logitCap;
    const { width, vocabularySize: rows, initialDeviation: std } = decoder;
    const table = 'model.encoder.text_model.embed_tokens';
    const otherNames = ['model.decoder.embed_tokens', 'lm_head.out_proj'];
    const { blocks } = this;
    this.#embed = blocks.make('embedding', weights, () => weights.embedding(table, rows, width, std, otherNames));
    this.#scale = roundedTo(weights.dtype, decoder.embeddingScale);
    this.#encoder = new Stack(encoder, weights, 'encoder', 'model.encoder.text_model', blocks);
    this.#decoder = new Stack(decoder, weights, 'decoder', 'model.decoder', blocks);
    this.head = weights.head(this.#embed.weight, std, decoder.tied, 'lm_head.out_proj');
    blocks.add(blocks, { name: 'head', parameters: () => [this.head.weight], linears: [] });
    this.parameters = new Map(weights.parameters);
    this.linears = new Map(weights.linears);
    this.places = new Map(weights.places);
    const { inner, heads, endOfSequence, padding } = decoder;
    const layers = { encoder: encoder.layers.length, decoder: decoder.layers.length };
    this.shape = {
      family: 't5gemma2',
      vocabularySize: rows,
      width,
      inner,
      heads,
      layers,
      endOfSequence,
      padding,
      positions: encoder.positions,
      embeddingScale: this.#scale,
      start,
    };
    this.architecture = { model_type: 't5gemma2', encoder: plainOf(encoder), decoder: plainOf(decoder) };
  }

  get embedding(): Tensor {
    return this.#embed.weight;
  }

  get embed(): Embedding {
    return this.#embed;
  }

  config(): Record<string, unknown> {
    return this.#config(this.head.weight === this.#embed.weight);
  }

  logits(batch: readonly TokenizedExample[], options?: ForwardOptions): Tensor {
    return scope(() => this.toLogits(this.states(batch, options)));
  }

  states(batch: readonly TokenizedExample[], { prompt, dropout }: ForwardOptions = {}): Tensor {
    return scope(() => {
      const inputs = batch.map((e) => e.input);
      this.#refuseImages(batch.map((e) => e.target));
      const { states, mask } = this.#encode(inputs, prompt, dropout);
      // The decoder reads the target shifted right by its start token.
      const { ids, longest } = pad(
        batch.map((e) => [this.#start, ...e.target.slice(0, -1)]),
        this.shape.padding,
      );
      const seen = attentionBias(mask, states).unsqueeze(1).unsqueeze(1).expand(-1, -1, longest, -1);
      const masks = perWindow((window): Mask => {
        // Padding at the end of a target needs no mask: nothing real looks there.
        const own = attentionBias(visible(longest, window), states).expand(batch.length, 1, -1, -1);
        return { bias: cat([seen, own], 3) };
      });
      const x = maybe(dropout, this.#embedded(ids));
      const decoded = this.#decoder.forward(x, positions(longest, longest), masks, dropout, { states });
      const places = batch.flatMap(({ target }, b) => target.map((_, i) => b * longest + i));
      return decoded.reshape(-1, decoded.size(2)).indexSelect(0, idTensor(places));
    });
  }

  startDecoding(inputs: readonly Ids[], { prompt }: { prompt?: Tensor } = {}): Decoding {
    return scope(() => {
      const { states, mask } = this.#encode(inputs, prompt, undefined);
      const { layers, length } = this.#decoder.read(states);
      const cross = { length, layers: layers.map((pair) => pair.map(keep) as KeysAndValues) };
      const cache = new Cache(
        inputs.map(() => 0),
        cross,
      );
      const seen = attentionBias(mask, states).unsqueeze(1).unsqueeze(1);
      cache.begin({
        bias: seen,
        places: tensor([farAway])
          .expand(...seen.shape)
          .contiguous(),
      });
      const next = (tokens: readonly number[]) =>
        scope(() => {
          const { bias, places } = cache.grow();
          const at = { places, rows: tokens.length, length: 1, whole: Math.max(...places) + 1 };
          const masks = perWindow((window): Mask => ({ bias: bias(window) }));
          const x = this.#embedded(idTensor(tokens).unsqueeze(1));
          return this.toLogits(this.#decoder.forward(x, at, masks, undefined, { context: cache }).select(1, 0));
        });
      return {
        first: () => {
          const logits = next(inputs.map(() => this.#start));
          cache.settle();
          return logits;
        },
        next,
        reorder: (rows, kept) =>
          scope(() => {
            cache.reorder(rows, kept);
            if (kept.length === cross.layers[0]![0].size(0)) return;
            const index = idTensor(kept);
            cross.layers.forEach((pair, i) => {
              cross.layers[i] = pair.map((t) => keep(t.indexSelect(0, index))) as KeysAndValues;
              for (const t of pair) t.dispose();
            });
          }),
        rewind: () => scope(() => cache.rewind()),
        dispose: () => {
          cache.dispose();
          for (const t of cross.layers.flat()) t.dispose();
        },
      };
    });
  }

  /** ids [...] -> [..., E] */
  #embedded(ids: Tensor): Tensor {
    return this.blocks.run(this.#embed, ids, (own) => this.#embed.forward(own)).mul(this.#scale);
  }

  /** Encoder states [B, S, E] and their mask [B, S], the prompt's rows included. */
  #encode(
    inputs: readonly Ids[],
    prompt: Tensor | undefined,
    dropout: Dropout | undefined,
  ): { states: Tensor; mask: Tensor } {
    return scope(() => {
      this.#refuseImages(inputs);
      const { ids, mask } = pad(inputs, this.shape.padding);
      let x = this.#embedded(ids);
      let whole = mask;
      if (prompt) {
        x = cat([prompt.to(x.dtype).unsqueeze(0).expand(inputs.length, -1, -1), x], 1);
        whole = cat([ones([inputs.length, prompt.size(0)], 'bool'), mask], 1);
      }
      const length = x.size(1);
      const real = whole.unsqueeze(1).unsqueeze(1);
      const masks = perWindow((window): Mask => ({ bias: attentionBias(real.logicalAnd(around(length, window)), x) }));
      return {
        states: this.#encoder.forward(maybe(dropout, x), positions(length, length), masks, dropout),
        mask: whole,
      };
    });
  }

  #refuseImages(texts: readonly Ids[]): void {
    if (texts.some((ids) => ids.includes(this.#imageEnd)))
      throw new UserError(
        `the text has token ${this.#imageEnd}, which stands for the end of an image: promot reads T5Gemma 2's ` +
          'text model only',
      );
  }

  toLogits(hidden: Tensor): Tensor {
    const logits = this.blocks.runLast(this.blocks, () => this.head.forward(hidden));
    const cap = this.#logitCap;
    return cap === undefined ? logits : op('aten::tanh', logits.div(cap)).mul(cap);
  }
}

/** Encoder or decoder: layers and the final norm. */
class Stack {
  readonly #spec: DecoderSpec;
  readonly #layers: readonly Layer[];
  readonly #norm: RMSNorm;
  readonly #ropes: ReadonlyMap<RotarySpec, Rope>;

  constructor(
    spec: DecoderSpec,
    weights: Weights,
    stack: 'encoder' | 'decoder',
    name: string,
    private readonly blocks: Blocks,
  ) {
    this.#spec = spec;
    this.#layers = spec.layers.map((_, layer) =>
      blocks.make(
        `${stack} layer ${layer}`,
        weights,
        () => new Layer(spec, weights, `${name}.layers.${layer}`, { stack, layer }, normNames),
      ),
    );
    this.#norm = weights.norm(`${name}.norm`, spec.width, spec.normEpsilon, spec.normOffset);
    this.#ropes = new Map(spec.layers.flatMap(({ rotary }) => (rotary ? [[rotary, new Rope(rotary)]] : [])));
  }

  /**
   * [B, T, E] -> [B, T, E]. The decoder looks at the encoder's states [B, S, E], or at what was read of them before.
   */
  forward(
    x: Tensor,
    at: Places,
    masks: (window: number) => Mask,
    dropout: Dropout | undefined,
    { context, states }: { context?: Context; states?: Tensor } = {},
  ): Tensor {
    return scope(() => {
      const turns = new Map<RotarySpec | undefined, Turn>();
      for (const [rotary, rope] of this.#ropes) turns.set(rotary, rope.at(at, x));
      let y = x;
      this.#layers.forEach((layer, i) => {
        const { rotary, window } = this.#spec.layers[i]!;
        const inputs = { x: y, turn: turns.get(rotary), mask: masks(window), states };
        y = this.blocks.run(layer, inputs, (own) =>
          scope(() => {
            const seen = own.states ? contextOf(layer, i, own.states) : context;
            return layer.forward(own.x, own.turn, own.mask, dropout, seen);
          }),
        );
      });
      return maybe(dropout, this.#norm.forward(y));
    });
  }

  /** What every layer's attention sees of the encoder's states [B, S, E]. */
  read(states: Tensor): InFront {
    const layers = this.#layers.map((layer) => {
      return this.blocks.run(layer, states, (own) => layer.attention.read(own));
    });
    return { length: states.size(1), layers };
  }
}

/** What layer `i` sees of the encoder's states [B, S, E]. */
function contextOf(layer: Layer, i: number, states: Tensor): Context {
  const layers: KeysAndValues[] = [];
  layers[i] = layer.attention.read(states);
  return { prefix: { length: states.size(1), layers }, append: (_, keys, values) => [[keys, values]] };
}

/** [S, S]: true where place t looks at place s: half of the window back, its own place included, and half of it on. */
function around(length: number, window: number): Tensor {
  if (window === Infinity) return ones([length, length], 'bool');
  const places = arange(length);
  const back = places.unsqueeze(1).sub(places.unsqueeze(0));
  return back.lt(Math.floor((window + 1) / 2)).logicalAnd(back.gt(-Math.floor(window / 2) - 1));
}

/** A specification without what two models that are mixed may differ in. */
function plainOf({
  endOfSequence: _,
  padding: _p,
  initialDeviation: _i,
  tied: _t,
  positions: _n,
  ...rest
}: DecoderSpec) {
  return rest;
}

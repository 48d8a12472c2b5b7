// A decoder-only language model of any family, made from its specification; parameters have Hugging Face's names.
// Shapes: B batch, L sequence length (prompt, input and target), E width, V rows.
import {
  arange,
  cat,
  type DType,
  type Embedding,
  hasPackedAttention,
  inModule,
  type KeyPart,
  keep,
  type Linear,
  ones,
  op,
  type Parameters,
  type RMSNorm,
  scope,
  type Tensor,
  tensor,
  threads,
  tril,
} from '@promot/torch';
import { UserError } from '../../base/errors.js';
import { Blocks } from '../blocks.js';
import { type Dropout, maybe } from '../dropout.js';
import type { LinearPlace } from '../linear-place.js';
import { attentionBias } from '../mask.js';
import type { Decoding, ForwardOptions, Ids, LanguageModel, ModelShape, Prefix, TokenizedExample } from '../model.js';
import { idTensor } from '../padding.js';
import type { Weights } from '../weights.js';
import { type Mask, placesOf } from './attention.js';
import { Cache, type Context, contextOf, type KeysAndValues, ReadPrefix } from './cache.js';
import { Layer } from './layer.js';
import { type Ragged, raggedOf, sideBySide } from './ragged.js';
import { type Places, Rope, type Turn } from './rope.js';
import type { DecoderSpec, RotarySpec } from './spec.js';

/** How a decoder is written to config.json. */
interface ConfigWriter {
  /** Names the architecture in messages and comparisons: config.json's model_type. */
  readonly family: string;
  /** config.json of this model, whose head is tied or is not. */
  config(tied: boolean): Record<string, unknown>;
}

export class Decoder implements LanguageModel {
  readonly kind = 'decoder-only';
  readonly shape: ModelShape;
  readonly architecture: Readonly<Record<string, unknown>>;
  readonly parameters: Parameters;
  readonly linears: ReadonlyMap<string, Linear>;
  readonly places: ReadonlyMap<string, LinearPlace>;
  readonly blocks = new Blocks();
  readonly head: Linear;
  readonly #spec: DecoderSpec;
  readonly #writer: ConfigWriter;
  readonly #embed: Embedding;
  /** What rows of the embedding are multiplied by, rounded to the weights' type. */
  readonly #embeddingScale: number;
  readonly #layers: readonly Layer[];
  readonly #norm: RMSNorm;
  /** One for each kind of rotary positions that a layer has. */
  readonly #ropes: ReadonlyMap<RotarySpec, Rope>;
  /** Whether some layer does not look back to the start. */
  readonly #hasWindow: boolean;

  constructor(spec: DecoderSpec, weights: Weights, writer: ConfigWriter) {
    this.#spec = spec;
    this.#writer = writer;
    const { width, vocabularySize: rows, initialDeviation: std, normEpsilon, normOffset } = spec;
    const { blocks } = this;
    this.#embed = blocks.make('embedding', weights, () => weights.embedding('model.embed_tokens', rows, width, std));
    this.#embeddingScale = roundedTo(weights.dtype, spec.embeddingScale);
    this.#layers = spec.layers.map((_, i) =>
      blocks.make(
        `layer ${i}`,
        weights,
        () => new Layer(spec, weights, `model.layers.${i}`, { stack: 'decoder', layer: i }),
      ),
    );
    this.#norm = weights.norm('model.norm', width, normEpsilon, normOffset);
    this.head = weights.head(this.#embed.weight, std, spec.tied);
    blocks.add(blocks, { name: 'head', parameters: () => [this.head.weight], linears: [] });
    this.#ropes = new Map(spec.layers.flatMap(({ rotary }) => (rotary ? [[rotary, new Rope(rotary)]] : [])));
    this.#hasWindow = spec.layers.some(({ window }) => window < Infinity);
    this.parameters = new Map(weights.parameters);
    this.linears = new Map(weights.linears);
    this.places = new Map(weights.places);
    const { inner, heads, positions, endOfSequence, padding } = spec;
    const layers = { encoder: 0, decoder: spec.layers.length };
    this.shape = {
      family: writer.family,
      vocabularySize: rows,
      width,
      inner,
      heads,
      layers,
      positions,
      endOfSequence,
      padding,
      embeddingScale: this.#embeddingScale,
    };
    const {
      positions: _,
      endOfSequence: _ends,
      padding: _padding,
      initialDeviation: _std,
      tied: _tied,
      ...rest
    } = spec;
    this.architecture = { model_type: writer.family, ...rest };
  }

  get embedding(): Tensor {
    return this.#embed.weight;
  }

  get embed(): Embedding {
    return this.#embed;
  }

  config(): Record<string, unknown> {
    return this.#writer.config(this.head.weight === this.#embed.weight);
  }

  logits(batch: readonly TokenizedExample[], options?: ForwardOptions): Tensor {
    return scope(() => this.toLogits(this.states(batch, options)));
  }

  states(batch: readonly TokenizedExample[], { prompt, prefix, dropout }: ForwardOptions = {}): Tensor {
    return scope(() => {
      // No place sees what comes after it: the prompt's are the same for every example, and are read once for all.
      const readPrompt = prompt && new ReadPrefix(prompt.size(0));
      try {
        const rows = readPrompt?.length ?? 0;
        const context = contextOf(readPrompt ?? prefix);
        const read = context?.prefix?.length ?? 0;
        if (rows === 0 && batch.some((e) => e.input.length === 0))
          throw new UserError(
            read === 0
              ? 'an empty input has nothing to predict the first target token from: give it a start token or a ' +
                  'soft prompt'
              : 'an input behind a prefix needs a token of its own',
          );
        // The last target token is predicted, never read. Sequences of different lengths stand side by side without
        // padding.
        const sequences = batch.map((e) => [...e.input, ...e.target.slice(0, -1)]);
        const lengths = sequences.map(({ length }) => length);
        const longest = Math.max(...lengths);
        // A kernel that reads them side by side needs no rows and no mask.
        const side = this.#readsSideBySide(lengths.length) ? sideBySide(lengths, read) : undefined;
        const ragged = !side && lengths.some((length) => length < longest) ? raggedOf(lengths) : undefined;
        const starts = (side ?? ragged)?.starts;
        const whole = read + longest;
        // A token is predicted at the place before its own; before the first (-1) stands the prompt's last row.
        const places = batch.flatMap(({ input, target, answers = [] }, b) =>
          [...answers, ...target.map((_, j) => input.length + j)].map((place) =>
            place === 0 ? -1 : (starts?.[b] ?? b * longest) + place - 1,
          ),
        );
        const own = places.filter((place) => place >= 0);
        const predicting: Tensor[] = [];
        if (readPrompt) {
          const x = maybe(dropout, prompt!.to(this.embedding.dtype).unsqueeze(0));
          const wanted = own.length < places.length ? [rows - 1] : [];
          const at = positions(rows, whole);
          const last = this.#run(x, at, this.#backward(rows, 0, x), dropout, readPrompt, wanted);
          if (wanted.length > 0) predicting.push(last);
        }
        if (longest > 0) {
          const ids = idTensor(sequences.flat()).view(starts ? 1 : batch.length, -1);
          const x = maybe(dropout, this.#embedded(ids));
          const at = starts ? positionsOfAll(lengths, whole, read) : positions(longest, whole, read);
          const masks = side
            ? perWindow((window): Mask => ({ causal: true, side: { by: side, window } }))
            : this.#backward(longest, read, x, ragged);
          predicting.push(this.#run(x, at, masks, dropout, context, own));
        }
        const hidden = cat(predicting, 1).squeeze(0);
        if (own.length === places.length) return hidden;
        let next = 1;
        return hidden.indexSelect(0, idTensor(places.map((place) => (place < 0 ? 0 : next++))));
      } finally {
        readPrompt?.dispose();
      }
    });
  }

  readPrefix(ids: Ids, prompt?: Tensor, dropout?: Dropout): Prefix | undefined {
    const length = (prompt?.size(0) ?? 0) + ids.length;
    // Where the length of the whole changes what is read, it cannot be read before the rest is known.
    if (length === 0 || [...this.#ropes.keys()].some(({ scaling }) => dependsOnLength.has(scaling.kind)))
      return undefined;
    return scope(() => {
      const embedded = ids.length > 0 ? [this.#embedded(idTensor(ids))] : [];
      const rows = cat(prompt ? [prompt.to(this.embedding.dtype), ...embedded] : embedded).unsqueeze(0);
      const x = maybe(dropout, rows);
      const read = new ReadPrefix(length);
      this.#run(x, positions(length, length), this.#backward(length, 0, x), dropout, read, []);
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
      const starts = inputs.map((input) => read + rows + input.length);
      const whole = Math.max(...starts);
      const cache = new Cache(starts, shared);
      const first = () =>
        scope(() => {
          // Linear layers read the inputs side by side, without padding. In attention and in the cache each has a
          // row, and a column for each of its places.
          const lengths = inputs.map((input) => rows + input.length);
          const longest = Math.max(...lengths);
          const side = this.#readsSideBySide(lengths.length) ? sideBySide(lengths, read) : undefined;
          const ragged = side || lengths.some((length) => length < longest) ? raggedOf(lengths) : undefined;
          const own = this.#embedded(idTensor(inputs.flat()));
          const all = prompt ? behindPrompt(prompt.to(own.dtype), own, inputs) : own;
          const x = all.view(ragged ? 1 : inputs.length, -1, all.size(1));
          const real = arange(longest).unsqueeze(0).lt(idTensor(lengths).unsqueeze(1)).unsqueeze(1).unsqueeze(1);
          cache.begin({
            bias: attentionBias(behindPrefix(real, read), x),
            places: this.#hasWindow ? arange(whole).float().expand(inputs.length, 1, 1, whole) : undefined,
          });
          const masks = side
            ? perWindow((window): Mask => ({ causal: true, side: { by: side, window }, ragged }))
            : this.#backward(longest, read, x, ragged);
          const at = ragged ? positionsOfAll(lengths, whole, read) : positions(longest, whole, read);
          const last = lengths.map((length, b) => (ragged?.starts[b] ?? b * longest) + length - 1);
          return this.toLogits(this.#run(x, at, masks, undefined, cache, last).squeeze(0));
        });
      const next = (tokens: readonly number[]) =>
        scope(() => {
          const x = this.#embedded(idTensor(tokens).unsqueeze(1));
          const { bias, places } = cache.grow();
          const now = Math.max(...places) + 1;
          for (const rope of this.#ropes.values()) rope.checkSame(whole, now);
          const masks = perWindow((window): Mask => ({ bias: bias(window) }));
          const at = { places, rows: tokens.length, length: 1, whole: now };
          return this.toLogits(this.#run(x, at, masks, undefined, cache).select(1, 0));
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

  /** ids [...] -> [..., E] */
  #embedded(ids: Tensor): Tensor {
    const rows = inModule('embedding', () => this.blocks.run(this.#embed, ids, (own) => this.#embed.forward(own)));
    return this.#embeddingScale === 1 ? rows : rows.mul(this.#embeddingScale);
  }

  /**
   * x [B, L, E] -> [B, L, E], or only the `wanted` places of all [1, W, E]: the last layer computes no others. `masks`
   * gives what a layer of such a window sees.
   */
  #run(
    x: Tensor,
    at: Places,
    masks: (window: number) => Mask,
    dropout: Dropout | undefined,
    context?: Context,
    wanted?: readonly number[],
  ): Tensor {
    return scope(() => {
      const turns = new Map<RotarySpec | undefined, Turn>();
      for (const [rotary, rope] of this.#ropes) turns.set(rotary, rope.at(at, x));
      const { inputScale, layers } = this.#spec;
      let y = inputScale === 1 ? x : x.mul(inputScale);
      this.#layers.forEach((layer, i) => {
        const { rotary, window } = layers[i]!;
        const prefix = context?.prefix?.layers[i];
        const isLast = wanted !== undefined && i === layers.length - 1;
        const places = isLast ? idTensor(wanted) : undefined;
        const inputs = { x: y, turn: turns.get(rotary), mask: masks(window), prefix, places };
        const run = this.blocks.run(layer, inputs, ({ x, turn, mask, prefix, places }) => {
          const own = context && new LayerContext(context, i, prefix);
          // Where no place is wanted, others may still look at them.
          if (places?.numel === 0) {
            own?.append(i, ...layer.read(x, turn));
            return { y: placesOf(x, places), read: own?.taken() };
          }
          return { y: layer.forward(x, turn, mask, dropout, own, places), read: own?.taken() };
        });
        y = run.y;
        if (run.read) context?.append(i, ...run.read);
      });
      return this.#norm.forward(y);
    });
  }

  toLogits(hidden: Tensor): Tensor {
    const { logitScale, logitCap } = this.#spec;
    const logits = this.blocks.runLast(this.blocks, () => inModule('head', () => this.head.forward(hidden)));
    const scaled = logitScale === 1 ? logits : logits.mul(logitScale);
    return logitCap === undefined ? scaled : op('aten::tanh', scaled.div(logitCap)).mul(logitCap);
  }

  /**
   * Whether there is a kernel for so many sequences: on some GPUs for 16-bit numbers, and on some CPUs. A CPU's
   * threads share its work by sequences and key heads: with fewer of them than threads, another is the faster one.
   */
  #readsSideBySide(sequences: number): boolean {
    const { scoreCap, headWidth, keyHeads } = this.#spec;
    if (scoreCap !== undefined || !hasPackedAttention(this.embedding, headWidth)) return false;
    return this.embedding.device !== 'cpu' || sequences * keyHeads >= threads();
  }

  /**
   * What `length` places behind `read` others see of all. Right padding needs no mask beside causality, which the fused
   * kernel has built in; a window, a prefix and a cap need one of their own [1, 1, length, read + length].
   */
  #backward(length: number, read: number, like: Tensor, ragged?: Ragged): (window: number) => Mask {
    return perWindow((window) => {
      if (read === 0 && length <= window && this.#spec.scoreCap === undefined) return { causal: true, ragged };
      const seen = visible(read + length, window).narrow(0, read, length);
      return { bias: attentionBias(seen, like).unsqueeze(0).unsqueeze(0), ragged };
    });
  }
}

/** The context of one layer. What a prefix is to hold of it comes out as a result, and not by the way. */
class LayerContext implements Context {
  readonly prefix: Context['prefix'];
  #read: KeysAndValues | undefined;
  constructor(
    private readonly whole: Context,
    index: number,
    prefix: KeysAndValues | undefined,
  ) {
    const layers: KeysAndValues[] = [];
    if (prefix) layers[index] = prefix;
    this.prefix = prefix && { layers, length: whole.prefix!.length };
  }

  append(layer: number, keys: Tensor, values: Tensor): readonly KeyPart[] {
    if (!(this.whole instanceof ReadPrefix)) return this.whole.append(layer, keys, values);
    this.#read = [keep(keys.contiguous()), keep(values.contiguous())];
    return [[keys, values]];
  }

  /** The layer's keys and values, which now belong to the caller's scope. */
  taken(): KeysAndValues | undefined {
    return this.#read?.map((kept) => {
      const own = kept.alias();
      kept.dispose();
      return own;
    }) as KeysAndValues | undefined;
  }
}

/** A number as an element of this type holds it. */
export function roundedTo(dtype: DType, x: number): number {
  return scope(() => tensor(Float32Array.of(x)).to(dtype).float().item());
}

/** Scalings whose frequencies follow from the length of the whole sequence. */
const dependsOnLength: ReadonlySet<string> = new Set(['dynamic', 'longrope']);

export function perWindow(make: (window: number) => Mask): (window: number) => Mask {
  const made = new Map<number, Mask>();
  return (window) => {
    const mask = made.get(window) ?? make(window);
    made.set(window, mask);
    return mask;
  };
}

/** [L, L]: true where place t may look at place s: s <= t, and t - s < window. */
export function visible(length: number, window: number): Tensor {
  const square = ones([length, length], 'bool');
  const causal = tril(square);
  return length <= window ? causal : causal.logicalAnd(tril(square, -window).logicalNot());
}

/** [..., L] -> [..., read + L]: a prefix of `read` places can always be seen. */
function behindPrefix(allowed: Tensor, read: number): Tensor {
  return read === 0 ? allowed : cat([ones([...allowed.shape.slice(0, -1), read], 'bool'), allowed], -1);
}

/** Puts the prompt [P, E] in front of each input's rows of x [all tokens, E]: [B * P + all tokens, E]. */
function behindPrompt(prompt: Tensor, x: Tensor, inputs: readonly Ids[]): Tensor {
  return scope(() => {
    let read = prompt.size(0);
    // Every place's number in the prompt's rows followed by those of x.
    const places = inputs.flatMap(({ length }) => {
      const start = read;
      read += length;
      return [...Array.from({ length: prompt.size(0) }, (_, i) => i), ...Array.from({ length }, (_, i) => start + i)];
    });
    return cat([prompt, x]).indexSelect(0, idTensor(places));
  });
}

/** Places of sequences of these lengths, one after the other, each of which begins at `start`. */
function positionsOfAll(lengths: readonly number[], whole: number, start: number): Places {
  const places = lengths.flatMap((length) => positions(length, whole, start).places);
  return { places, rows: 1, length: places.length, whole };
}

export function positions(length: number, whole: number, start = 0): Places {
  return { places: Array.from({ length }, (_, i) => start + i), rows: 1, length, whole };
}

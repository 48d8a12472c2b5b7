// Keys and values that a decoder's attention looks at beside the tokens that are being read: a prefix that many inputs
// share, and what decoding has read and fed so far.
// Shapes: B inputs, K rows (beams) of each, G key/value heads, D head width.
import { cat, type KeyPart, keep, scope, stack, type Tensor, tensor, zeros } from '@promot/torch';
import { FedTokens } from '../fed-tokens.js';
import { never } from '../mask.js';
import type { Prefix } from '../model.js';
import { idTensor } from '../padding.js';

export type KeysAndValues = [keys: Tensor, values: Tensor];

/** What attention looks at beside the tokens that are being read. */
export interface Context {
  /**
   * Hears of keys and values of the tokens being read [B, G, L, D]; gives all there are so far, in order, the prefix
   * left out.
   */
  append(layer: number, keys: Tensor, values: Tensor): readonly KeyPart[];
  readonly prefix?: InFront | undefined;
}

/** Keys and values in front of what is read, of each layer: [1, G, length, D] for all rows, or [B, G, length, D]. */
export interface InFront {
  readonly layers: readonly KeysAndValues[];
  readonly length: number;
}

/** Keys and values [1, G, length, D] per layer of what stands in front of many inputs. */
export class ReadPrefix implements Prefix, Context {
  readonly layers: KeysAndValues[] = [];
  constructor(readonly length: number) {}

  append(layer: number, keys: Tensor, values: Tensor): readonly KeysAndValues[] {
    this.layers[layer] = [keep(keys), keep(values)];
    return [[keys, values]];
  }

  detach(): { leaves: ReadPrefix; backward: () => void } {
    const leaves = new ReadPrefix(this.length);
    this.layers.forEach((layer, i) => {
      leaves.layers[i] = layer.map((t) => keep(t.detach())) as KeysAndValues;
      leaves.layers[i].forEach((leaf, j) => {
        leaf.requiresGrad = layer[j]!.requiresGrad;
      });
    });
    const backward = () =>
      scope(() => {
        const pairs = this.layers.flat().flatMap((of, i) => {
          const { grad } = leaves.layers.flat()[i]!;
          return grad && of.requiresGrad ? [of.mul(grad).sum()] : [];
        });
        // Its gradient with respect to each key and value is the leaf's.
        if (pairs.length > 0) stack(pairs).sum().backward();
      });
    return { leaves, backward };
  }

  dispose(): void {
    for (const t of this.layers.flat()) t.dispose();
  }
}

/** The context of a pass that looks at a prefix and keeps nothing. */
export function contextOf(prefix: Prefix | undefined): Context | undefined {
  if (prefix === undefined) return undefined;
  if (!(prefix instanceof ReadPrefix)) throw new TypeError('a prefix belongs to the model that read it');
  return { prefix, append: (_, keys, values) => [[keys, values]] };
}

/** What the tokens read and fed so far are to those that come: one column for each, row after row. */
interface Columns {
  /** Added to the scores of all later tokens [B * K, 1, 1, prefix, input and fed]: `never` at padding. */
  readonly bias: Tensor;
  /** The place of each [B * K, 1, 1, prefix, input and fed] (float32; of padding: any). Only for windows. */
  readonly places?: Tensor | undefined;
}

/**
 * Keys and values per layer, and where each row stands. Those of the inputs [B, G, length, D] are the same for all K
 * rows of an input, and are held once; those of the tokens fed since then are each row's own [B * K, G, length, D].
 */
export class Cache implements Context {
  readonly #inputs: KeysAndValues[] = [];
  readonly #fed = new FedTokens();
  /** The places at first: one for every input. */
  #start: readonly number[];
  #columns: Columns | undefined;

  constructor(
    /** The place of each row's next token. */
    private places: readonly number[],
    readonly prefix: InFront | undefined,
  ) {
    this.#start = places;
  }

  /** Says what the inputs' columns are; keeps the tensors. */
  begin({ bias, places }: Columns): void {
    this.#columns = { bias: keep(bias), places: places && keep(places) };
  }

  /**
   * Makes room for one more token. Gives its place in each row, and the bias [B * K, 1, 1, all] for a layer that looks
   * so far back.
   */
  grow(): { places: readonly number[]; bias: (window: number) => Tensor } {
    const { places } = this;
    const rows = places.length;
    this.places = places.map((place) => place + 1);
    this.#fed.grow(rows);
    const own = tensor(Float32Array.from(places), { shape: [rows, 1, 1, 1] });
    const { bias, places: columns } = this.#replace((t, of) =>
      cat([t, of === 'bias' ? zeros(own.shape, t.dtype) : own], 3),
    );
    const farthest = Math.max(...places);
    return {
      places,
      bias: (window) => {
        if (farthest < window || !columns) return bias;
        return bias.maskedFill(columns.le(own.sub(window)), never);
      },
    };
  }

  append(layer: number, keys: Tensor, values: Tensor): readonly KeyPart[] {
    const input = this.#inputs[layer];
    if (input) return [input, this.#fed.append(layer, keys, values)];
    this.#inputs[layer] = [keep(keys.contiguous()), keep(values.contiguous())];
    return [[keys, values]];
  }

  reorder(rows: readonly number[], inputs: readonly number[]): void {
    this.#fed.reorder(rows);
    const rowIndex = idTensor(rows);
    this.#replace((t) => t.indexSelect(0, rowIndex));
    this.places = rows.map((row) => this.places[row]!);
    if (inputs.length >= (this.#inputs[0]?.[0].size(0) ?? 0)) return;
    const index = idTensor(inputs);
    this.#inputs.forEach((pair, i) => {
      this.#inputs[i] = pair.map((t) => keep(t.indexSelect(0, index))) as KeysAndValues;
      for (const t of pair) t.dispose();
    });
  }

  /** From now on, what was read so far is the inputs': `rewind` goes back to here. One row for each input. */
  settle(): void {
    this.#start = this.places;
    this.#fed.clear();
  }

  /** Forgets the tokens fed since the inputs were read. */
  rewind(): void {
    const inputs = this.#start.length;
    const fork = this.places.length / inputs;
    const firsts = idTensor(Array.from({ length: inputs }, (_, i) => i * fork));
    this.#replace((t) =>
      t
        .indexSelect(0, firsts)
        .narrow(3, 0, t.size(3) - this.#fed.length)
        .clone(),
    );
    this.places = this.#start;
    this.#fed.clear();
  }

  dispose(): void {
    this.#columns?.bias.dispose();
    this.#columns?.places?.dispose();
    for (const t of this.#inputs.flat()) t.dispose();
    this.#fed.clear();
  }

  #replace(change: (t: Tensor, of: keyof Columns) => Tensor): Columns {
    const { bias, places } = this.#columns!;
    this.#columns = { bias: keep(change(bias, 'bias')), places: places && keep(change(places, 'places')) };
    bias.dispose();
    places?.dispose();
    return this.#columns;
  }
}

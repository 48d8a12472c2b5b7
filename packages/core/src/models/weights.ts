// Where a model takes its parameters from: a checkpoint, or random numbers for a model that is to be trained from
// scratch.
import {
  currentDevice,
  type Device,
  type DType,
  deriveSeed,
  Embedding,
  keep,
  Linear,
  noGrad,
  ones,
  op,
  RMSNorm,
  randn,
  scope,
  type Tensor,
} from '@promot/torch';
import { UserError } from '../base/errors.js';
import type { LinearPlace } from './linear-place.js';
import { surplusNames } from './tensor-names.js';

/** How a parameter starts where there is no checkpoint: a normal distribution's standard deviation, or all ones. */
export type Initial = number | 'ones';

/** Gives parameters by their Hugging Face names and remembers what it gave. */
export abstract class Weights {
  readonly #taken = new Map<string, Tensor>();
  readonly #linears = new Map<string, Linear>();
  readonly #places = new Map<string, LinearPlace>();

  constructor(
    /** The element type that all parameters get. */
    readonly dtype: DType,
    /** Where they go. */
    readonly device: Device = currentDevice(),
  ) {}

  /** All parameters given so far, in order. */
  get parameters(): ReadonlyMap<string, Tensor> {
    return this.#taken;
  }

  /** All linear layers made so far, by name: where low-rank additions can be attached. */
  get linears(): ReadonlyMap<string, Linear> {
    return this.#linears;
  }

  /** What each linear layer computes, by name; the head included. */
  get places(): ReadonlyMap<string, LinearPlace> {
    return this.#places;
  }

  /**
   * The parameter of this name; asked again, the same tensor. Where the checkpoint has no such name, the first of
   * `others` that it has. Throws UserError where it is missing or of another shape.
   */
  take(name: string, shape: readonly number[], initial: Initial, others: readonly string[] = []): Tensor {
    const known = this.#taken.get(name);
    if (known) return known;
    const stored = [name, ...others].find((one) => this.stores(one)) ?? name;
    const tensor = noGrad(() => scope(() => keep(this.make(stored, shape, initial))));
    this.#taken.set(name, tensor);
    return tensor;
  }

  /** A parameter with its values. */
  protected make(stored: string, shape: readonly number[], initial: Initial): Tensor {
    return this.read(stored, shape, initial).toDevice(this.device).to(this.dtype).contiguous();
  }

  /** The values of a parameter that was given. */
  protected values(parameter: Tensor): Tensor {
    return parameter;
  }

  /** Frees every parameter given so far: where a model cannot be built after all. */
  dispose(): void {
    for (const tensor of this.#taken.values()) tensor.dispose();
  }

  /** Takes back a parameter that turned out to be another one's copy. */
  forget(name: string): void {
    this.#taken.get(name)?.dispose();
    this.#taken.delete(name);
  }

  /** Whether a checkpoint holds this parameter; false for random weights. */
  abstract stores(name: string): boolean;
  /** The raw tensor, of this very shape. */
  protected abstract read(name: string, shape: readonly number[], initial: Initial): Tensor;

  /** A linear layer with as many outputs as the parts of its place have rows. */
  linear(name: string, inputs: number, place: LinearPlace, std: number, bias = false): Linear {
    const outputs = place.parts.reduce((sum, { rows }) => sum + rows, 0);
    const layer = new Linear(
      this.take(`${name}.weight`, [outputs, inputs], std),
      bias ? this.take(`${name}.bias`, [outputs], 0) : undefined,
    );
    this.#linears.set(name, layer);
    this.#places.set(name, place);
    return layer;
  }
  /**
   * The output layer, E -> V. Files are untidy: a head in the checkpoint that differs from the embedding counts,
   * whatever the configuration says of tying.
   */
  head(embedding: Tensor, std: number, tied: boolean, module = 'lm_head'): Linear {
    const name = `${module}.weight`;
    this.#places.set(module, { stack: 'decoder', parts: [{ role: 'head', rows: embedding.size(0) }] });
    if (tied && !this.stores(name)) return new Linear(embedding, undefined, true);
    const head = this.take(name, embedding.shape, std);
    const isSame = () => noGrad(() => scope(() => this.values(head).equal(this.values(embedding))));
    if (!tied || !isSame()) return new Linear(head);
    this.forget(name);
    return new Linear(embedding, undefined, true);
  }
  /** With `offset` 1 the norm multiplies by 1 + weight, and the weight starts at 0. */
  norm(name: string, width: number, epsilon: number, offset: 0 | 1 = 0): RMSNorm {
    return new RMSNorm(this.take(`${name}.weight`, [width], offset === 0 ? 'ones' : 0), epsilon, offset);
  }
  embedding(name: string, rows: number, width: number, std: number, others: readonly string[] = []): Embedding {
    const weight = (of: string) => `${of}.weight`;
    return new Embedding(this.take(weight(name), [rows, width], std, others.map(weight)));
  }
}

/** Parameters drawn from normal distributions, each a function of (seed, order). */
export class RandomWeights extends Weights {
  #count = 0;
  constructor(
    readonly seed: number,
    dtype: DType,
  ) {
    super(dtype);
  }
  override stores(): boolean {
    return false;
  }
  protected override read(_name: string, shape: readonly number[], initial: Initial): Tensor {
    const seed = deriveSeed(this.seed, this.#count++);
    return initial === 'ones' ? ones(shape) : randn(shape, seed).mul_(initial);
  }
}

/** The values of parameters that are not read yet: those of a model that is to be divided. */
export interface Unread {
  /** Reads them, in the caller's scope: from the file's own pages where they are stored as they are used. */
  read(parameter: Tensor): Tensor | undefined;
  /** Lets go of the file. */
  close(): void;
}

/** A tensor of a checkpoint, not yet read. */
interface StoredWeight {
  readonly shape: readonly number[];
  readonly load: () => Tensor;
  readonly isOwn?: boolean;
}

/** Parameters of a checkpoint, converted as they are read. */
export class CheckpointWeights extends Weights {
  readonly #read = new Set<string>();
  constructor(
    /** What to call the checkpoint in messages. */
    readonly place: string,
    readonly tensors: ReadonlyMap<string, StoredWeight>,
    dtype: DType,
  ) {
    super(dtype);
  }
  override stores(name: string): boolean {
    return this.tensors.has(name);
  }
  /** Throws UserError where the checkpoint holds tensors that the model did not take and that mean something. */
  checkAllTaken(): void {
    const surplus = surplusNames([...this.tensors.keys()].filter((name) => !this.#read.has(name)));
    if (surplus.length === 0) return;
    const more = surplus.length > 3 ? ` and ${surplus.length - 3} more` : '';
    throw new UserError(
      `${this.place}: the weights hold ${surplus.slice(0, 3).join(', ')}${more}, for which the configuration has ` +
        'no place: it does not belong to them',
    );
  }
  protected override read(name: string, shape: readonly number[]): Tensor {
    const { load, isOwn = false } = this.find(name, shape);
    const loaded = load();
    // A copy: training writes into parameters, and must never write into the file's pages or another tensor's.
    return loaded.dtype === this.dtype && !isOwn ? loaded.clone() : loaded;
  }
  /** The tensor of this name, of this shape. Throws UserError where there is none. */
  protected find(name: string, shape: readonly number[]): StoredWeight {
    const found = this.tensors.get(name);
    if (!found)
      throw new UserError(
        `${this.place}: the weights have no tensor ${name}; config.json promises one of shape [${shape}]`,
      );
    if (found.shape.length !== shape.length || found.shape.some((side, i) => side !== shape[i]))
      throw new UserError(`${this.place}: ${name} has shape [${found.shape}], but config.json asks for [${shape}]`);
    this.#read.add(name);
    return found;
  }
}

/** Parameters of a checkpoint that have a shape, and no memory: `unread` gives their values, later. */
export class UnreadWeights extends CheckpointWeights {
  readonly #sources = new Map<Tensor, StoredWeight>();
  readonly unread: Unread;
  constructor(place: string, tensors: ReadonlyMap<string, StoredWeight>, dtype: DType, close: () => void) {
    super(place, tensors, dtype);
    this.unread = { read: (parameter) => this.#sources.get(parameter)?.load(), close };
  }
  protected override make(stored: string, shape: readonly number[]): Tensor {
    const source = this.find(stored, shape);
    // Of all sizes, and of one number's memory.
    const strides = shape.map(() => 0);
    const empty = op('aten::empty_strided', shape, strides, this.dtype, undefined, this.device);
    this.#sources.set(empty, source);
    return empty;
  }
  protected override values(parameter: Tensor): Tensor {
    return this.unread.read(parameter) ?? parameter;
  }
}

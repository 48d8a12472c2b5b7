// A model as a list of blocks. Whoever trains or divides a model runs them: with or without a graph, with parameters
// that are there only for the moment.
import { type LazyTensor, type Linear, Tensor } from '@promot/torch';
import type { Unread, Weights } from './weights.js';

/** A part of a model that is run as a whole: the table of embeddings, a layer, the output layer. */
export interface Block {
  readonly name: string;
  /** Its own parameters. A tied table belongs to two blocks. */
  readonly parameters: () => readonly Tensor[];
  /** Its linear layers, to which low-rank additions may be attached. */
  readonly linears: readonly Linear[];
}

/** A block's parameters and those of what is attached to its layers. */
export function parametersOf({ parameters, linears }: Block): Tensor[] {
  const attached = linears.flatMap(({ lowRanks }) =>
    lowRanks.flatMap(({ a, b, bias }) => (bias ? [a, b, bias] : [a, b])),
  );
  return [...parameters(), ...attached];
}

/** Runs the blocks of a model in place of the model itself. */
export interface BlockExecutor {
  /**
   * What `body` makes of `inputs`: tensors in plain objects and arrays. It reads no tensor that may have a gradient but
   * these and the block's own, so that it can be run again later.
   */
  run<I, O>(block: Block, inputs: I, body: (inputs: I) => O): O;
  /** The output layer, which the loss follows: it may be run with its graph at once. */
  runLast<O>(block: Block, body: () => O): O;
}

/** Lets each rank of a divided model go through passes of its own between `begin` and `end`, as many as it likes. */
export interface ApartPasses {
  begin(): void;
  /** Goes along with the ranks that still have passes. */
  end(): Promise<void>;
}

/** A tensor that is divided over the ranks by rows: `read` gathers it, and all ranks must call that together. */
export interface Divided extends LazyTensor {
  /** This rank's rows. */
  readonly rows: Tensor;
  /** The number of the first. */
  readonly begin: number;
  /** Sets this rank's rows. */
  take(rows: Tensor): void;
}

export class Blocks {
  /** Runs the blocks, while it is set. */
  executor: BlockExecutor | undefined;
  /** The parameters that are whole on no rank, while the model is divided. */
  divided: ReadonlyMap<Tensor, Divided> | undefined;
  /** While the model is divided: for passes without gradients that are not the same on all ranks. */
  apart: ApartPasses | undefined;
  /** Where the parameters have shapes, and no values of their own yet. */
  unread: Unread | undefined;
  readonly #blocks = new Map<object, Block>();

  /** All blocks, in the order in which they were made: that of a forward pass. */
  get list(): readonly Block[] {
    return [...this.#blocks.values()];
  }

  /** A parameter's values, to be read in the caller's scope. Of a divided one all ranks must ask together. */
  values(parameter: Tensor): Tensor {
    return this.unread?.read(parameter) ?? this.divided?.get(parameter)?.read() ?? parameter;
  }

  /** Makes a part of the model, whose parameters are those that it takes meanwhile. */
  make<T extends object>(name: string, weights: Weights, make: () => T): T {
    const [parameters, linears] = [weights.parameters.size, weights.linears.size];
    const part = make();
    const own = [...weights.parameters.values()].slice(parameters);
    this.add(part, { name, parameters: () => own, linears: [...weights.linears.values()].slice(linears) });
    return part;
  }

  /** Names what is a block that `part` stands for. */
  add(part: object, block: Block): void {
    this.#blocks.set(part, block);
  }

  /** See `BlockExecutor.run`. */
  run<I, O>(part: object, inputs: I, body: (inputs: I) => O): O {
    return this.executor ? this.executor.run(this.#of(part), inputs, body) : body(inputs);
  }

  /** See `BlockExecutor.runLast`. */
  runLast<O>(part: object, body: () => O): O {
    return this.executor ? this.executor.runLast(this.#of(part), body) : body();
  }

  #of(part: object): Block {
    const block = this.#blocks.get(part);
    if (!block) throw new Error('this part of the model is no block');
    return block;
  }
}

/** The same arrays and plain objects with other tensors; what is neither stays as it is. */
export function mapTensors<T>(value: T, change: (tensor: Tensor) => Tensor): T {
  const walk = (one: unknown): unknown => {
    if (one instanceof Tensor) return change(one);
    if (Array.isArray(one)) return one.map(walk);
    if (one === null || typeof one !== 'object' || Object.getPrototypeOf(one) !== Object.prototype) return one;
    return Object.fromEntries(Object.entries(one).map(([key, inner]) => [key, walk(inner)]));
  };
  return walk(value) as T;
}

/** The tensors in arrays and plain objects, in order. */
export function tensorsIn(value: unknown): Tensor[] {
  const found: Tensor[] = [];
  mapTensors(value, (tensor) => {
    found.push(tensor);
    return tensor;
  });
  return found;
}

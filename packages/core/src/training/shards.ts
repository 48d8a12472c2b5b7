// Parameters divided over the ranks by rows (ZeRO-3; Rajbhandari et al. 2020, https://arxiv.org/abs/1910.02054, and
// PyTorch's FSDP). Of each parameter of a block a rank has its rows only: their values, their gradient and their
// optimizer state. A block's parameters are gathered one block ahead, used, and let go; its gradients are summed, and
// each rank keeps its rows. What belongs to no block (norms at the ends, position tables, a prompt, LoRA) stays whole.
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  call,
  type DType,
  distributed,
  keep,
  noGrad,
  type Optimizer,
  type Parameters,
  scope,
  type Tensor,
  tensor,
  trimMemory,
  withDevice,
  zeros,
} from '@promot/torch';
import type { ApartPasses, Block, BlockExecutor, Divided } from '../models/blocks.js';
import type { LanguageModel } from '../models/model.js';
import { type Gathering, type Piece, RowExchange } from './row-exchange.js';

const { blocking } = distributed;

/** A block on its way: gathered, or being gathered. */
interface Gathered {
  readonly gathering: Gathering;
  ready: boolean;
}

type Next = Readonly<Record<'forward' | 'backward', Map<Block, Block>>>;

/** Bytes that a rank holds of what is trained and of the model. */
export interface Held {
  /** The model's parameters: this rank's rows, or all. */
  readonly parameters: number;
  readonly gradients: number;
  readonly optimizer: number;
  /** The most of the others' rows that was gathered at once. */
  readonly gathered: number;
}

const copyOf = ({ forward, backward }: Next): Next => ({ forward: new Map(forward), backward: new Map(backward) });
const bytesOf = (dtype: DType) => (dtype === 'float32' ? 4 : 2);
const numelOf = (shape: readonly number[]) => shape.reduce((product, side) => product * side, 1);

export class Shards implements BlockExecutor, ApartPasses {
  readonly #pieces = new Map<Tensor, Piece>();
  readonly #firstRows: number[] = [];
  readonly #byName = new Map<string, Piece>();
  readonly #gathered = new Map<Block, Gathered>();
  /** Which block came after which, in the forward and in the backward direction: those to come are gathered early. */
  #next: Next = { forward: new Map(), backward: new Map() };
  /** The same when the step began. */
  #nextBefore: Next = this.#next;
  #before: Block | undefined;
  /** Whether this rank goes through passes of its own. */
  #isApart = false;
  readonly #rank = distributed.getRank();
  readonly #ranks = distributed.getWorldSize();
  #mostGathered = 0;
  readonly #model: LanguageModel;
  readonly #exchange: RowExchange;
  readonly #besides: Shards[] = [];

  /**
   * Divides a model that is whole on every rank, or whose parameters are still in their file. `all`: from now on its
   * blocks run here, and it is whole nowhere; `optimizer`: the model stays as it is, and each rank moves its rows.
   * @param beside another divided model that has its part in the same steps
   */
  constructor(
    model: LanguageModel,
    readonly part: 'all' | 'optimizer',
    beside?: Shards,
  ) {
    this.#model = model;
    this.#exchange = beside ? beside.#exchange : new RowExchange();
    if (beside) beside.#besides.push(this);
    const inBlocks = new Set(model.blocks.list.flatMap((block) => block.parameters()));
    for (const [name, parameter] of model.parameters)
      if (inBlocks.has(parameter)) this.#divide(name, parameter);
      else this.#read(parameter);
    model.blocks.unread?.close();
    model.blocks.unread = undefined;
    if (part === 'optimizer') return;
    model.blocks.executor = this;
    model.blocks.apart = this;
    model.blocks.divided = new Map(
      [...this.#pieces].map(([parameter, piece]) => [parameter, this.divided(piece.name, piece.own)!]),
    );
  }

  #divide(name: string, parameter: Tensor): void {
    const { shape } = parameter;
    const rows = Math.ceil(shape[0]! / this.#ranks);
    const width = numelOf(shape.slice(1));
    const [begin, end] = [0, 1].map((i) => Math.min(shape[0]!, (this.#rank + i) * rows)) as [number, number];
    const own = keep(
      noGrad(() =>
        scope(() => {
          const values = this.#model.blocks.values(parameter).detach();
          this.#firstRows.push(values.narrow(0, 0, 1).to('float64').sum().item());
          const view = values.narrow(0, begin, end - begin);
          return this.part === 'all' ? this.#asHeld(view, parameter) : view;
        }),
      ),
    );
    const piece = { name, parameter, shape, rows, width, begin, own };
    this.#pieces.set(parameter, piece);
    this.#byName.set(name, piece);
    if (this.part === 'all') noGrad(() => call('aten::set_', parameter));
  }

  /** Reads what stays whole. */
  #read(parameter: Tensor): void {
    noGrad(() =>
      scope(() => {
        const values = this.#model.blocks.values(parameter);
        if (values === parameter) return;
        call('aten::set_.source_Tensor', parameter, this.#asHeld(values, parameter));
      }),
    );
  }

  /** A copy of values of a parameter, where and in which numbers it is. */
  #asHeld(values: Tensor, { dtype, device }: Tensor): Tensor {
    const own = values.dtype === dtype ? values.clone() : values.to(dtype);
    return own.toDevice(device).contiguous();
  }

  /** Sums of the first rows of the divided parameters as they were: they tell one model from another. */
  get firstRows(): readonly number[] {
    return this.#firstRows;
  }

  /** What this rank holds while an optimizer moves what `piecesOf` gave. */
  held(optimizer: Optimizer): Held {
    const bytes = (tensors: Iterable<Tensor>) =>
      [...tensors].reduce((sum, { numel, dtype }) => sum + numel * bytesOf(dtype), 0);
    const isAll = this.part === 'all';
    return {
      parameters: bytes(
        [...this.#model.parameters.values()].map((one) => (isAll && this.#pieces.get(one)?.own) || one),
      ),
      // Where the model is whole, so are the gradients until they are summed.
      gradients: bytes(
        [...optimizer.parameters].map(([name, own]) => {
          const piece = this.#byName.get(name);
          return !isAll && piece ? piece.parameter : own;
        }),
      ),
      optimizer: bytes(optimizer.state().values()),
      gathered: this.#mostGathered,
    };
  }

  /** The same parameters with this rank's rows in place of what is divided: what an optimizer moves. */
  piecesOf(trained: Parameters): Parameters {
    return new Map([...trained].map(([name, tensor]) => [name, this.#pieces.get(tensor)?.own ?? tensor]));
  }

  /** Those of them that are not divided. */
  wholeOf(trained: Parameters): Parameters {
    return new Map([...trained].filter(([, tensor]) => this.part === 'optimizer' || !this.#pieces.has(tensor)));
  }

  /** Tensors of an optimizer or of what it moves, each as it is stored: under its parameter's name behind a kind's. */
  stored(tensors: ReadonlyMap<string, Tensor>): Map<string, Tensor | Divided> {
    return new Map(
      [...tensors].map(([key, tensor]) => {
        const name = this.#byName.has(key) ? key : key.slice(key.indexOf('.') + 1);
        // A factored moment's columns are the same on all ranks.
        const isWhole = !this.#byName.has(key) && key.startsWith('column.');
        return [key, isWhole ? tensor : (this.divided(name, tensor) ?? tensor)];
      }),
    );
  }

  /** The Euclidean norm of the gradient of what `piecesOf` gave. */
  gradientNorm(trained: Parameters): number {
    return scope(() => {
      const square = ([, tensor]: readonly [string, Tensor]) => tensor.grad?.float().norm().to('float64').square();
      const add = (all: readonly (readonly [string, Tensor])[]) =>
        all.reduce((sum, one) => sum.add(square(one) ?? 0), zeros([1], 'float64'));
      const isPiece = ([name, tensor]: readonly [string, Tensor]) => this.#byName.get(name)?.own === tensor;
      const divided = add([...trained].filter(isPiece));
      this.sum(divided);
      return Math.sqrt(divided.add(add([...trained].filter((one) => !isPiece(one)))).item());
    });
  }

  /** Of whole gradients this rank's rows; where the model is divided, they are that already. */
  collect(): void {
    if (this.part === 'all') return;
    for (const { parameter, own, begin } of this.#pieces.values())
      scope(() => {
        const gradient = parameter.grad;
        if (gradient && own.numel > 0 && own.requiresGrad)
          own.backward(noGrad(() => gradient.narrow(0, begin, own.shape[0]!)));
        parameter.clearGrad();
      });
  }

  /** After a step: all ranks hear of each other's rows, where the model is whole. */
  publish(trained: Parameters): void {
    this.settle();
    if (this.part === 'all') return;
    for (const [name, own] of trained) {
      const piece = this.#byName.get(name);
      if (piece?.own === own) noGrad(() => scope(() => piece.parameter.copy_(this.divided(name, own)!.read())));
    }
  }

  /** Forgets what was gathered early. */
  settle(): void {
    for (const block of [...this.#gathered.keys()]) this.#drop(block);
  }

  /** At the beginning of a step. */
  beginStep(): void {
    for (const shards of [this, ...this.#besides]) {
      shards.#forget();
      shards.#nextBefore = copyOf(shards.#next);
    }
    this.#exchange.beginStep();
  }

  /**
   * This rank could not end its part of a step and begins again, with less to do, while the others go on: what it has
   * exchanged is not exchanged again. Until the step is over its numbers are of no use, and so are their sums.
   */
  repeatStep(): void {
    for (const shards of [this, ...this.#besides]) {
      shards.#forget();
      // What is gathered early follows from this, and must come in the others' order.
      shards.#next = copyOf(shards.#nextBefore);
    }
    this.#exchange.repeatStep();
  }

  #forget(): void {
    this.settle();
    this.#before = undefined;
  }

  /** The shape of the whole; undefined where it is not divided. */
  shapeOf(name: string): readonly number[] | undefined {
    return this.#byName.get(name)?.shape;
  }

  /** Adds up over the ranks, in place. */
  sum(tensor: Tensor): void {
    blocking.allReduce(tensor)();
  }

  /** A tensor of rows of this parameter (itself, a moment), as one that all ranks see and set together. */
  divided(name: string, own: Tensor): Divided | undefined {
    const piece = this.#byName.get(name);
    if (!piece || own.shape[0] !== piece.own.shape[0]) return undefined;
    const shape = [piece.shape[0]!, ...own.shape.slice(1)];
    const width = numelOf(shape.slice(1));
    return {
      dtype: own.dtype,
      shape,
      rows: own,
      begin: piece.begin,
      read: () =>
        noGrad(() =>
          scope(() => {
            const padded = zeros([piece.rows * width], own.dtype);
            padded.narrow(0, 0, own.numel).copy_(own.detach().reshape(-1));
            const all = zeros([this.#ranks * piece.rows * width], own.dtype);
            blocking.allGather(all, padded)();
            return all.narrow(0, 0, numelOf(shape)).view(...shape);
          }),
        ),
      take: (rows) =>
        noGrad(() => {
          this.settle();
          own.copy_(rows);
        }),
    };
  }

  // --- a pass without gradients ---

  run<I, O>(block: Block, inputs: I, body: (inputs: I) => O): O {
    if (this.#isApart) this.#meetFor(block);
    else this.before(block);
    try {
      return body(inputs);
    } finally {
      this.after(block);
    }
  }

  runLast<O>(block: Block, body: () => O): O {
    return this.run(block, undefined, body);
  }

  begin(): void {
    this.#isApart = true;
  }

  async end(): Promise<void> {
    while (this.#meet(undefined)) await nextTurn();
    this.#isApart = false;
  }

  /** Comes to the gathering of a block. Those that only other ranks need are gathered meanwhile. */
  #meetFor(block: Block): void {
    while (this.#meet(block) !== block);
  }

  /**
   * Gathers the first of the blocks that the ranks need next; none where none needs one. So a rank that is behind, at
   * the beginning of a pass, catches up with the others, and they go on side by side.
   */
  #meet(wanted: Block | undefined): Block | undefined {
    const { list } = this.#model.blocks;
    // The CPU's processes agree on it, so that a GPU goes on meanwhile.
    const first = withDevice('cpu', () =>
      scope(() => {
        const place = tensor([wanted ? list.indexOf(wanted) : list.length], { dtype: 'int64' });
        blocking.allReduce(place, 'min')();
        return place.item();
      }),
    );
    const chosen = list[first];
    if (chosen) this.before(chosen, 'forward', chosen === wanted);
    return chosen;
  }

  // --- a pass with gradients: see BlockHooks ---

  /** @param isUsed whether this rank runs the block, or only gathers it for others */
  before(block: Block, direction: 'forward' | 'backward' = 'forward', isUsed = true): void {
    const next = this.#next[direction];
    if (this.#before) next.set(this.#before, block);
    this.#before = block;
    // What was gathered early and is not what comes goes.
    for (const other of this.#gathered.keys()) if (other !== block) this.#drop(other);
    if (isUsed) this.#make(block);
    else {
      this.#start(block);
      this.#drop(block);
    }
    const following = next.get(block);
    if (following && following !== block) this.#start(following);
  }

  after(block: Block): void {
    this.#drop(block);
  }

  /** Sums a block's gradients; each rank keeps its rows. */
  done(block: Block): void {
    const pieces = this.#trainedOf(block);
    noGrad(() =>
      scope(() => {
        const gradients = pieces.map(({ parameter }) => parameter.grad);
        for (const { parameter } of pieces) parameter.clearGrad();
        this.#drop(block);
        if (pieces.length > 0) this.#exchange.reduce(pieces, gradients);
      }),
    );
  }

  /** The divided parameters of a block that get a gradient. */
  #trainedOf(block: Block): Piece[] {
    return block.parameters().flatMap((parameter) => {
      const piece = this.#pieces.get(parameter);
      return piece && parameter.requiresGrad ? [piece] : [];
    });
  }

  #piecesIn(block: Block): Piece[] {
    return block.parameters().flatMap((parameter) => this.#pieces.get(parameter) ?? []);
  }

  #start(block: Block): Gathered | undefined {
    const known = this.#gathered.get(block);
    if (known) return known;
    const pieces = this.#piecesIn(block);
    if (pieces.length === 0) return undefined;
    const gathered = { gathering: scope(() => this.#exchange.gather(pieces)), ready: false };
    this.#gathered.set(block, gathered);
    return gathered;
  }

  /** Waits for a block's parameters and puts them in place. */
  #make(block: Block): void {
    const gathered = this.#start(block);
    if (!gathered || gathered.ready) return;
    noGrad(() =>
      scope(() => {
        const wholes = gathered.gathering.finish();
        this.#piecesIn(block).forEach(({ parameter }, i) => {
          call('aten::set_.source_Tensor', parameter, wholes[i]!);
        });
      }),
    );
    gathered.ready = true;
    const now = [...this.#gathered.keys()].flatMap((one) => one.parameters());
    const bytes = now.reduce((sum, one) => sum + numelOf(this.#pieces.get(one)?.shape ?? [0]) * bytesOf(one.dtype), 0);
    this.#mostGathered = Math.max(this.#mostGathered, bytes);
  }

  #drop(block: Block): void {
    const gathered = this.#gathered.get(block);
    if (!gathered) return;
    this.#gathered.delete(block);
    if (!gathered.ready) {
      gathered.gathering.drop();
      return;
    }
    noGrad(() => {
      for (const { parameter } of this.#piecesIn(block)) call('aten::set_', parameter);
    });
    // The holes of a block's tensors would soon be as large as what dividing the model has saved.
    trimMemory();
  }

  /** Frees the rows. The model cannot be used after it, where it was divided. */
  dispose(): void {
    for (const one of this.#besides) one.dispose();
    for (const block of [...this.#gathered.keys()])
      try {
        this.#drop(block);
      } catch {
        // A rank has failed: what was gathered early does not come, and the failure is told already.
      }
    for (const { own } of this.#pieces.values()) own.dispose();
    this.#model.blocks.executor = undefined;
    this.#model.blocks.divided = undefined;
    this.#model.blocks.apart = undefined;
  }
}

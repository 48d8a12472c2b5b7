// Rows of parameters on their way between ranks. Many small parameters share a message, and a large one takes several:
// so what a message needs beside the parameters themselves (Gloo copies it once more) is a few megabytes, however large
// a block is.
import { call, type DType, distributed, keep, noGrad, op, scope, type Tensor, zeros } from '@promot/torch';

const { blocking } = distributed;

/** This rank's rows of a parameter. */
export interface Piece {
  readonly name: string;
  /** What the model's layers hold: empty while the block is not gathered. */
  readonly parameter: Tensor;
  /** The parameter's shape. */
  readonly shape: readonly number[];
  /** Rows of each rank; the last ranks may have fewer, or none. */
  readonly rows: number;
  /** Numbers of a row. */
  readonly width: number;
  /** This rank's first row. */
  readonly begin: number;
  /** [own rows, ...] */
  readonly own: Tensor;
}

/** The rows from the `from`-th to the `to`-th that each rank has of a piece. */
interface Slice {
  readonly piece: number;
  readonly from: number;
  readonly to: number;
  /** Its place in the message: numbers before it. */
  readonly at: number;
}
/** Slices that go together: so many numbers of each rank. */
interface Message {
  readonly slices: readonly Slice[];
  readonly numbers: number;
}

/** Parameters that are being gathered. */
export interface Gathering {
  /** Waits for all and gives the whole parameters, in the pieces' order; they belong to the caller's scope. */
  finish(): Tensor[];
  /** Waits for all and forgets them. */
  drop(): void;
}

/** Bytes of a message on a CPU. NCCL needs no copies, and is the faster the larger a message is. */
const messageBytes = 4 * 2 ** 20;

/** The exchange of a divided model's rows. All ranks must ask for the same in the same order. */
export class RowExchange {
  readonly #ranks = distributed.getWorldSize();
  readonly #rank = distributed.getRank();
  /** Messages of this step that were started, and how many of the next are to be left out. */
  #started = 0;
  #leftOut = 0;

  /** At the beginning of a step. */
  beginStep(): void {
    this.#started = 0;
    this.#leftOut = 0;
  }

  /**
   * This rank begins its part of the step again, and the others do not: what it has exchanged so far is left out this
   * time, and its place holds zeros.
   */
  repeatStep(): void {
    this.#leftOut = this.#started;
    this.#started = 0;
  }

  /** Starts to gather the rows of all ranks. */
  gather(pieces: readonly Piece[]): Gathering {
    const under: Sent[] = [];
    const drop = () => {
      for (let one = under.shift(); one; one = under.shift()) end(one);
    };
    const finish = () => {
      const wholes = pieces.map(({ own, shape }) => op('aten::new_empty', own, shape));
      for (let one = under.shift(); one; one = under.shift()) {
        const { message, all } = one;
        end(one, () => copyAll(this.#places(pieces, message, wholes, all)));
      }
      return wholes;
    };
    const { dtype } = pieces[0]!.own;
    try {
      for (const message of messagesOf(pieces, this.#ranks, sizeOf(dtype)))
        under.push(
          this.#send(
            message,
            dtype,
            (mine, all) => blocking.allGather(all, mine),
            (mine) =>
              this.#ownPlaces(pieces, message, mine, ({ own }) => own.detach()).map(([row, place]) => [place, row]),
          ),
        );
    } catch (error) {
      drop();
      throw error;
    }
    return { finish, drop };
  }

  /**
   * Sums whole gradients over the ranks, in float32, and adds to the gradient of each piece that of its rows. Frees
   * what it was given.
   */
  reduce(pieces: readonly Piece[], gradients: readonly (Tensor | undefined)[]): void {
    const sums = new Map(pieces.map((piece) => [piece, zeros([piece.own.numel])]));
    // One message is under way while the next is made.
    let before: Sent | undefined;
    const finish = () => {
      const one = before;
      before = undefined;
      if (!one) return;
      const rows = (piece: Piece) => sums.get(piece)!.view(...piece.own.shape);
      end(one, () => copyAll(this.#ownPlaces(pieces, one.message, one.mine, rows)));
    };
    try {
      for (const message of messagesOf(pieces, this.#ranks, sizeOf('float32'))) {
        const sent = this.#send(
          message,
          'float32',
          (mine, all) => blocking.reduceScatter(mine, all),
          (_, all) => this.#places(pieces, message, gradients, all).map(([row, place]) => [place, row]),
        );
        finish();
        before = sent;
        for (const { piece, to } of message.slices) if (to === pieces[piece]!.rows) gradients[piece]?.dispose();
      }
    } finally {
      finish();
    }
    for (const [{ own }, sum] of sums) if (own.numel > 0) own.backward(sum.view(...own.shape).to(own.dtype));
  }

  /** Makes a message, of one rank and of all, copies into it what `fill` says, and starts it. */
  #send(
    message: Message,
    dtype: DType,
    begin: (mine: Tensor, all: Tensor) => () => void,
    fill: (mine: Tensor, all: Tensor) => Pairs,
  ): Sent {
    const [mine, all] = [message.numbers, this.#ranks * message.numbers].map((n) => keep(zeros([n], dtype))) as [
      Tensor,
      Tensor,
    ];
    try {
      scope(() => copyAll(fill(mine, all)));
      const wait = this.#started < this.#leftOut ? () => {} : begin(mine, all);
      this.#started++;
      return { message, mine, all, wait };
    } catch (error) {
      mine.dispose();
      all.dispose();
      throw error;
    }
  }

  /** The rows of whole tensors, each with its place in a message of all ranks; absent tensors have none. */
  #places(pieces: readonly Piece[], message: Message, wholes: readonly (Tensor | undefined)[], all: Tensor): Pairs {
    return Array.from({ length: this.#ranks }, (_, rank) => rank).flatMap((rank) =>
      message.slices.flatMap((slice) => {
        const piece = pieces[slice.piece]!;
        const count = rowsOf(piece, slice, rank);
        const place = all.narrow(0, rank * message.numbers + slice.at, count * piece.width);
        const whole = count > 0 ? wholes[slice.piece] : undefined;
        return whole ? [[whole.narrow(0, rank * piece.rows + slice.from, count), place] as const] : [];
      }),
    );
  }

  /** The same of this rank's rows, which `of` gives, and of a message of this rank alone. */
  #ownPlaces(pieces: readonly Piece[], message: Message, mine: Tensor, of: (piece: Piece) => Tensor): Pairs {
    return message.slices.flatMap((slice) => {
      const piece = pieces[slice.piece]!;
      const count = rowsOf(piece, slice, this.#rank);
      if (count === 0) return [];
      return [[of(piece).narrow(0, slice.from, count), mine.narrow(0, slice.at, count * piece.width)] as const];
    });
  }
}

/** Where numbers go, and where they come from. */
type Pairs = readonly (readonly [to: Tensor, from: Tensor])[];

/** A message under way, until `end`. */
interface Sent {
  readonly message: Message;
  /** Of this rank, and of all. */
  readonly mine: Tensor;
  readonly all: Tensor;
  readonly wait: () => void;
}

/** Waits for a message, reads it, and frees it. */
function end({ mine, all, wait }: Sent, read: () => void = () => {}): void {
  try {
    wait();
    scope(read);
  } finally {
    mine.dispose();
    all.dispose();
  }
}

const sizeOf = (dtype: DType) => (dtype === 'float32' ? 4 : 2);

/** How many rows a rank has of a slice: of the last ones some may be missing. */
function rowsOf({ shape, rows }: Piece, { from, to }: Slice, rank: number): number {
  return Math.max(0, Math.min(to, shape[0]! - rank * rows) - from);
}

/** Copies, for each pair, as many numbers. */
function copyAll(pairs: Pairs): void {
  if (pairs.length === 0) return;
  noGrad(() =>
    call(
      'aten::_foreach_copy_',
      pairs.map(([to]) => to),
      pairs.map(([to, from]) => from.reshape(...to.shape)),
    ),
  );
}

/** The rows of pieces as messages, each of which has at most so many bytes of all ranks together, or one row. */
function messagesOf(pieces: readonly Piece[], ranks: number, bytes: number): Message[] {
  const isCpu = pieces[0]?.own.device === 'cpu';
  const most = isCpu ? Math.floor(messageBytes / bytes / ranks) : Number.POSITIVE_INFINITY;
  const messages: { slices: Slice[]; numbers: number }[] = [];
  pieces.forEach(({ rows, width }, piece) => {
    for (let from = 0; from < rows; ) {
      let last = messages.at(-1);
      if (!last || last.numbers + width > most) {
        last = { slices: [], numbers: 0 };
        messages.push(last);
      }
      const count = Math.max(1, Math.min(rows - from, Math.floor((most - last.numbers) / width)));
      last.slices.push({ piece, from, to: from + count, at: last.numbers });
      last.numbers += count * width;
      from += count;
    }
  });
  return messages;
}

// The gradient of a large vocabulary table, computed once a step in place of once a pass.
//
// A table of V rows and E columns is read by its ids and, where it is tied, by the output layer. Autograd makes a
// gradient of all V * E numbers for each of the two in every pass and adds them up: on Gemma 3 270M (V 262,144, E 640:
// 671 MB in fp32) that costs far more than the passes themselves. Here each pass leaves only its ids, the gradients of
// the rows that it read, and the inputs and the gradients of its logits; at the end of the step one product and one
// addition of rows make the table's gradient.
import {
  addProduct,
  call,
  cat,
  type Embedding,
  keep,
  type Linear,
  linear,
  noGrad,
  scope,
  type Tensor,
  zeros,
} from '@promot/torch';
import type { LanguageModel } from '../models/model.js';

/**
 * Tables of fewer numbers are left to autograd: there is little to gain, and the order of its sums stays what it was.
 */
const leastNumbers = 2 ** 26;
/** Gradients of more logits than so many are made into the table's at once: 512 MB in fp32. */
const mostKept = 2 ** 27;

interface Read {
  /** [n] */
  readonly ids: Tensor;
  /** [n, E], a leaf. */
  readonly rows: Tensor;
}
interface Product {
  /** [N, E] */
  readonly x: Tensor;
  /** [N, V], which keeps its gradient. */
  readonly y: Tensor;
}
type Pair = readonly [Tensor, Tensor];

export class TableGradient {
  readonly #embed: Embedding;
  /** The output layer, where it is the same table. */
  readonly #head: Linear | undefined;
  #products: Product[] = [];
  /** What passes that are done have left: ids and gradients of rows; inputs and gradients of logits. */
  #rows: Pair[] = [];
  #logits: Pair[] = [];
  /** The output layer's part of the table's gradient so far [V, E], where it could not wait. */
  #sum: Tensor | undefined;

  private constructor(
    { embed, head }: LanguageModel,
    readonly most: number,
  ) {
    this.#embed = embed;
    this.#head = head.weight === embed.weight ? head : undefined;
  }

  /** The table, whose gradient comes at the end of a step. */
  get weight(): Tensor {
    return this.#embed.weight;
  }

  /** For a model whose table is trained and large (of so many numbers); else undefined. */
  static of(
    model: LanguageModel,
    trained: Iterable<Tensor>,
    least = leastNumbers,
    most = mostKept,
  ): TableGradient | undefined {
    const { weight } = model.embed;
    return weight.numel >= least && [...trained].includes(weight) ? new TableGradient(model, most) : undefined;
  }

  /** Does a pass, forward and backward, without the table's gradient; what it will be made of is kept. */
  pass<T>(work: () => T): T {
    const { result, collect } = this.watch(work);
    collect();
    return result;
  }

  /** The same for a pass whose backward part may come later: call `collect` after that, or instead of it. */
  watch<T>(work: () => T): { result: T; collect: () => void } {
    const { weight } = this.#embed;
    const reads: Read[] = [];
    const collect = () => {
      this.collectLogits();
      this.#collectRows(reads.splice(0));
    };
    this.#embed.instead = (ids) => {
      const rows = keep(noGrad(() => this.#embed.read(ids)));
      rows.requiresGrad = true;
      reads.push({ ids: keep(ids.reshape(-1).clone()), rows });
      return rows;
    };
    if (this.#head)
      this.#head.instead = (x) => {
        const y = keep(linear(x, weight.detach()));
        if (y.requiresGrad) call('aten::retain_grad', y);
        this.#products.push({ x: keep(x.detach()), y });
        return y;
      };
    try {
      return { result: work(), collect };
    } catch (error) {
      collect();
      throw error;
    } finally {
      this.#embed.instead = undefined;
      if (this.#head) this.#head.instead = undefined;
    }
  }

  /** Takes over what the logits that have gone backward have left, before the pass is at its end. */
  collectLogits(): void {
    for (const { x, y } of this.#products.splice(0)) {
      const gradient = gradientOf(y);
      if (gradient) this.#logits.push([x, gradient]);
      else x.dispose();
      y.dispose();
    }
    if (this.#logits.reduce((sum, [, gradient]) => sum + gradient.numel, 0) > this.most) this.#multiply();
  }

  #collectRows(reads: readonly Read[]): void {
    for (const { ids, rows } of reads) {
      const gradient = gradientOf(rows);
      if (gradient) this.#rows.push([ids, gradient]);
      else ids.dispose();
      rows.dispose();
    }
  }

  /** Adds the products of inputs and gradients of logits to the sum. */
  #multiply(): void {
    const pairs = this.#logits.splice(0);
    if (pairs.length === 0) return;
    scope(() =>
      noGrad(() => {
        const [x, y] = [0, 1].map((which) => cat(pairs.map((pair) => pair[which as 0 | 1]))) as [Tensor, Tensor];
        if (this.#sum) addProduct(this.#sum, y.transpose(0, 1), x);
        else this.#sum = keep(y.transpose(0, 1).matmul(x));
      }),
    );
    for (const tensor of pairs.flat()) tensor.dispose();
  }

  /** Gives the table its gradient, of all passes since the last time. */
  finish(): void {
    const { weight } = this.#embed;
    this.#multiply();
    if (this.#rows.length === 0 && !this.#sum) return;
    try {
      scope(() => {
        const gradient = noGrad(() => {
          const [vocabulary, width] = weight.shape as [number, number];
          const sum = this.#sum ?? zeros([vocabulary, width], weight.dtype);
          if (this.#rows.length > 0) {
            const [ids, rows] = [this.#rows.map(([ids]) => ids), this.#rows.map(([, rows]) => rows.reshape(-1, width))];
            call('aten::index_add_', sum, 0, cat(ids), cat(rows));
          }
          return sum;
        });
        weight.backward(gradient);
      });
    } finally {
      this.dispose();
    }
  }

  /** Forgets what passes have left. */
  dispose(): void {
    for (const tensor of [...this.#rows, ...this.#logits].flat()) tensor.dispose();
    this.#sum?.dispose();
    this.#sum = undefined;
    this.#rows = [];
    this.#logits = [];
  }
}

/** What has come to a tensor, kept. */
function gradientOf(tensor: Tensor): Tensor | undefined {
  return scope(() => (tensor.grad ? keep(tensor.grad) : undefined));
}

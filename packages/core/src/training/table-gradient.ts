// The gradient of a large vocabulary table, computed once a step in place of once a pass.
//
// A table of V rows and E columns is read by its ids and, where it is tied, by the output layer. Autograd makes a
// gradient of all V * E numbers for each of the two in every pass and adds them up: on Gemma 3 270M (V 262,144, E 640:
// 671 MB in fp32) that costs far more than the passes themselves. Here each pass leaves only its ids, the gradients of
// the rows that it read, and the inputs and the gradients of its logits; at the end of the step one product and one
// addition of rows make the table's gradient.
import { call, cat, type Embedding, keep, type Linear, linear, noGrad, scope, type Tensor, zeros } from '@promot/torch';
import type { LanguageModel } from '../models/model.js';

/**
 * Tables of fewer numbers are left to autograd: there is little to gain, and the order of its sums stays what it was.
 */
const leastNumbers = 2 ** 26;

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
  #reads: Read[] = [];
  #products: Product[] = [];
  /** What passes that are done have left: ids and gradients of rows; inputs and gradients of logits. */
  #rows: Pair[] = [];
  #logits: Pair[] = [];

  private constructor({ embed, head }: LanguageModel) {
    this.#embed = embed;
    this.#head = head.weight === embed.weight ? head : undefined;
  }

  /** The table, whose gradient comes at the end of a step. */
  get weight(): Tensor {
    return this.#embed.weight;
  }

  /** For a model whose table is trained and large (of so many numbers); else undefined. */
  static of(model: LanguageModel, trained: Iterable<Tensor>, least = leastNumbers): TableGradient | undefined {
    const { weight } = model.embed;
    return weight.numel >= least && [...trained].includes(weight) ? new TableGradient(model) : undefined;
  }

  /** Does a pass, forward and backward, without the table's gradient; what it will be made of is kept. */
  pass<T>(work: () => T): T {
    const { weight } = this.#embed;
    this.#embed.instead = (ids) => {
      const rows = keep(noGrad(() => this.#embed.read(ids)));
      rows.requiresGrad = true;
      this.#reads.push({ ids: keep(ids.reshape(-1).clone()), rows });
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
      return work();
    } finally {
      this.#embed.instead = undefined;
      if (this.#head) this.#head.instead = undefined;
      this.#collect();
    }
  }

  #collect(): void {
    const gradientOf = (tensor: Tensor) => scope(() => (tensor.grad ? keep(tensor.grad) : undefined));
    for (const { ids, rows } of this.#reads) {
      const gradient = gradientOf(rows);
      if (gradient) this.#rows.push([ids, gradient]);
      else ids.dispose();
      rows.dispose();
    }
    for (const { x, y } of this.#products) {
      const gradient = gradientOf(y);
      if (gradient) this.#logits.push([x, gradient]);
      else x.dispose();
      y.dispose();
    }
    this.#reads = [];
    this.#products = [];
  }

  /** Gives the table its gradient, of all passes since the last time. */
  finish(): void {
    const { weight } = this.#embed;
    if (this.#rows.length + this.#logits.length === 0) return;
    try {
      scope(() => {
        const gradient = noGrad(() => {
          const all = (pairs: readonly Pair[], which: 0 | 1) => cat(pairs.map((pair) => pair[which]));
          const [vocabulary, width] = weight.shape as [number, number];
          const sum =
            this.#logits.length > 0
              ? all(this.#logits, 1).transpose(0, 1).matmul(all(this.#logits, 0))
              : zeros([vocabulary, width], weight.dtype);
          if (this.#rows.length > 0) {
            const flat = this.#rows.map(([ids, rows]): Pair => [ids, rows.reshape(-1, width)]);
            call('aten::index_add_', sum, 0, all(flat, 0), all(flat, 1));
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
    this.#rows = [];
    this.#logits = [];
  }
}

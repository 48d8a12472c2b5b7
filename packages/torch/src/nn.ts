// Modules: a parameter store with the checkpoint's own names, and the layers that read from it.
import { noGrad } from './autograd.js';
import { ones } from './creation.js';
import { embedding, linear, linears, rmsNorm } from './functional.js';
import { native } from './native.js';
import { trimMemory } from './runtime.js';
import { keep, scope } from './scope.js';
import { call, type DType, isSlowBf16, op, Tensor } from './tensor.js';

/**
 * The parameters of a model by their checkpoint names, in a fixed order. Layers hold the very same tensors, so a
 * parameter changes for the model when it is written in place (`copy_`), never by replacing the entry.
 */
export type Parameters = ReadonlyMap<string, Tensor>;

/** A low-rank addition to a linear layer (LoRA, Hu et al. 2021): scale * (B A x + bias). */
export interface LowRank {
  /** [r, I] */
  readonly a: Tensor;
  /** [O, r] */
  readonly b: Tensor;
  /** [O] */
  readonly bias?: Tensor;
  readonly scale: number;
}

/**
 * The layout is right for any number of rows and best for about as many: a batch of 16 with 4 beams; a pass of
 * training.
 */
const packedRows = { generation: 64, training: 512 };

/** Memory is given back to the system after so many numbers. */
const trimmedTogether = 1 << 26;

const packedWeight = (weight: Tensor, rows: number): Tensor => op('mkldnn::_reorder_linear_weight', weight, rows);
const packedLinear = (x: Tensor, packed: Tensor, bias?: Tensor): Tensor =>
  op('mkldnn::_linear_pointwise', x, packed, bias, 'none', [], '');

const packing = new Map<DType, boolean>();

/** Whether this libtorch on this processor can lay out weights of a type: found by trying, once. */
function packs(dtype: DType): boolean {
  let can = packing.get(dtype);
  if (can === undefined) {
    try {
      scope(() => {
        packedLinear(ones([1, 16], dtype), packedWeight(ones([16, 16], dtype), packedRows.generation));
      });
      can = true;
    } catch {
      can = false;
    }
    packing.set(dtype, can);
  }
  return can;
}

/** Whether the kernel of native/linear.cc takes a weight: it needs no packing, and is as fast or faster. */
const isReadAsItIs = (weight: Tensor) => call('promot::linear_takes', weight) as boolean;

/** Whether `withPackedWeights` lays out weights of a type on this processor. */
export function packsWeights(dtype: DType): boolean {
  return scope(() => {
    const weight = ones([8, 8], dtype);
    return !isSlowBf16(weight) && !isReadAsItIs(weight) && packs(dtype);
  });
}

/** x [..., I] -> [..., O]. */
export class Linear {
  /** What is added to the layer's own product, in this order. */
  lowRanks: readonly LowRank[] = [];
  /** Computes the layer's own product, while it is set. */
  instead: ((x: Tensor) => Tensor) | undefined;
  #packed: Tensor | undefined;
  /** The transposed weight, packed: for the gradient of x. */
  #packedTransposed: Tensor | undefined;
  /** The number of rows that the weight was packed for last. */
  #layout: number | undefined;
  constructor(
    /** [O, I] */
    readonly weight: Tensor,
    /** [O] */
    readonly bias?: Tensor,
    /** Whether something else reads the weight, too: the table of embeddings, where the output layer is tied to it. */
    readonly isShared = false,
  ) {}
  /** See `withPackedWeights`. Returns how many numbers it laid out, and undefined where the layer stays as it is. */
  pack(gradient: boolean): number | undefined {
    const { weight } = this;
    if (this.#packed || weight.device !== 'cpu') return undefined;
    if (isSlowBf16(weight) || isReadAsItIs(weight) || !packs(weight.dtype)) return undefined;
    const rows = gradient ? packedRows.training : packedRows.generation;
    // Where nobody has read the weight since the last time, its packed copy is still there.
    const there = this.#layout === rows ? native.standIn(this.weight.handle) : null;
    this.#packed = keep(there === null ? packedWeight(this.weight, rows) : new Tensor(there));
    this.#layout = rows;
    if (gradient)
      this.#packedTransposed = keep(scope(() => packedWeight(this.weight.transpose(0, 1).contiguous(), rows)));
    if (!this.isShared) native.giveBack(this.weight.handle, this.#packed.handle);
    return there === null ? this.weight.numel : 0;
  }
  unpack(): void {
    this.#packed?.dispose();
    this.#packedTransposed?.dispose();
    this.#packed = this.#packedTransposed = undefined;
  }
  #product(x: Tensor): Tensor {
    if (!this.#packed) return linear(x, this.weight, this.bias);
    if (!this.#packedTransposed) return packedLinear(x, this.#packed, this.bias);
    return op('promot::frozen_linear', x, this.#packed, this.#packedTransposed, this.bias);
  }
  /** The outputs of several layers that read the same x. */
  static together(layers: readonly Linear[], x: Tensor): Tensor[] {
    if (layers.some((layer) => layer.instead || layer.#packed)) return layers.map((layer) => layer.forward(x));
    return linears(x, layers).map((y, i) => layers[i]!.#withLowRanks(x, y));
  }
  forward(x: Tensor): Tensor {
    return this.#withLowRanks(x, this.instead ? this.instead(x) : this.#product(x));
  }
  #withLowRanks(x: Tensor, y: Tensor): Tensor {
    if (this.lowRanks.length === 0) return y;
    return scope(() =>
      this.lowRanks.reduce((sum, { a, b, bias, scale }) => {
        return sum.add(linear(linear(x, a.to(x.dtype)), b.to(x.dtype), bias?.to(x.dtype)), scale);
      }, y),
    );
  }
}

/**
 * Runs `body` with the layers' weights laid out once as the processor's products read them. The products then take less
 * time for some tens of rows (0.5 to 0.8 of it was seen on an EPYC), where each would lay the weights out anew. The
 * weights must not change meanwhile, and get no gradient. Nor does x, unless `gradient` asks for it: that takes a
 * second copy, laid out for it. Where libtorch cannot do it, and where a kernel for weights as they are is as fast
 * (native/linear.cc), nothing is laid out. A layer that is packed already stays as it is.
 *
 * The weights' own memory is given back, and made anew, with the same bits, when somebody reads them
 * (native/give-back.cc).
 */
export async function withPackedWeights<T>(
  layers: Iterable<Linear>,
  body: () => Promise<T>,
  { gradient = false }: { gradient?: boolean } = {},
): Promise<T> {
  const packed: Linear[] = [];
  try {
    // The largest first: while they are laid out their memory is held more than once, and the others then fit into it.
    const bySize = [...layers].sort((a, b) => b.weight.numel - a.weight.numel);
    let untrimmed = 0;
    noGrad(() => {
      for (const layer of bySize) {
        const numbers = layer.pack(gradient);
        if (numbers === undefined) continue;
        packed.push(layer);
        // What was given back lies between what was laid out.
        untrimmed += numbers;
        if (untrimmed > trimmedTogether) {
          trimMemory();
          untrimmed = 0;
        }
      }
    });
    if (untrimmed > 0) trimMemory();
    return await body();
  } finally {
    for (const layer of packed) layer.unpack();
  }
}

/** ids [...] -> [..., E]. */
export class Embedding {
  constructor(
    /** [V, E] */
    readonly weight: Tensor,
  ) {}
  /** Reads the rows in place of `forward`, while it is set. */
  instead: ((ids: Tensor) => Tensor) | undefined;
  forward(ids: Tensor): Tensor {
    return this.instead ? this.instead(ids) : this.read(ids);
  }
  /** The rows of the table itself. */
  read(ids: Tensor): Tensor {
    return embedding(this.weight, ids);
  }
}

/**
 * Root-mean-square norm over the last dimension, computed in float32 whatever the input's type. With `offset` 0 the
 * normed numbers are rounded to the input's type and multiplied by the weight (T5, Llama); with another they are
 * multiplied by offset + weight before they are rounded (Gemma).
 */
export class RMSNorm {
  constructor(
    /** [E] */
    readonly weight: Tensor,
    readonly epsilon: number,
    /** Added to the weight: see `rmsNorm`. */
    readonly offset: 0 | 1 = 0,
  ) {}
  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.weight, this.epsilon, this.offset);
  }
}

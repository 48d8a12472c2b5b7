// Modules: a parameter store with the checkpoint's own names, and the layers that read from it.
import { noGrad } from './autograd.js';
import { ones } from './creation.js';
import { embedding, linear, rmsNorm } from './functional.js';
import { keep, scope } from './scope.js';
import { type DType, op, type Tensor } from './tensor.js';

/**
 * The parameters of a model by their checkpoint names, in a fixed order. Layers hold the very same tensors, so a parameter
 * changes for the model when it is written in place (`copy_`), never by replacing the entry.
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

/** The layout is right for any number of rows and best for about as many: a batch of 16 with 4 beams. */
const packedRows = 64;

const packedWeight = (weight: Tensor): Tensor => op('mkldnn::_reorder_linear_weight', weight, packedRows);
const packedLinear = (x: Tensor, packed: Tensor, bias?: Tensor): Tensor =>
  op('mkldnn::_linear_pointwise', x, packed, bias, 'none', [], '');

const packing = new Map<DType, boolean>();

/** Whether this libtorch on this processor can lay out weights of a type: found by trying, once. */
function packs(dtype: DType): boolean {
  let can = packing.get(dtype);
  if (can === undefined) {
    try {
      scope(() => packedLinear(ones([1, 16], dtype), packedWeight(ones([16, 16], dtype))));
      can = true;
    } catch {
      can = false;
    }
    packing.set(dtype, can);
  }
  return can;
}

/** x [..., I] -> [..., O]. */
export class Linear {
  /** What is added to the layer's own product, in this order. */
  lowRanks: readonly LowRank[] = [];
  /** Computes the layer's own product, while it is set. */
  instead: ((x: Tensor) => Tensor) | undefined;
  #packed: Tensor | undefined;
  constructor(
    /** [O, I] */
    readonly weight: Tensor,
    /** [O] */
    readonly bias?: Tensor,
  ) {}
  /** See `withPackedWeights`. */
  pack(): void {
    this.unpack();
    if (this.weight.device === 'cpu' && packs(this.weight.dtype)) this.#packed = keep(packedWeight(this.weight));
  }
  unpack(): void {
    this.#packed?.dispose();
    this.#packed = undefined;
  }
  #product(x: Tensor): Tensor {
    return this.#packed ? packedLinear(x, this.#packed, this.bias) : linear(x, this.weight, this.bias);
  }
  forward(x: Tensor): Tensor {
    const y = this.instead ? this.instead(x) : this.#product(x);
    if (this.lowRanks.length === 0) return y;
    return scope(() =>
      this.lowRanks.reduce((sum, { a, b, bias, scale }) => {
        return sum.add(linear(linear(x, a.to(x.dtype)), b.to(x.dtype), bias?.to(x.dtype)), scale);
      }, y),
    );
  }
}

/**
 * Runs `body` with a second copy of the layers' weights, laid out once as the processor's products read them: they then take less
 * time for some tens of rows (0.5 to 0.8 of it was seen on an EPYC), where each product would lay the weights out anew. For forward passes
 * without gradient; the weights must not change meanwhile. Where libtorch cannot do it, nothing is laid out.
 */
export async function withPackedWeights<T>(layers: Iterable<Linear>, body: () => Promise<T>): Promise<T> {
  const packed = [...layers];
  try {
    noGrad(() => {
      for (const layer of packed) layer.pack();
    });
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
 * Root-mean-square norm over the last dimension, computed in float32 whatever the input's type. With `offset` 0 the normed
 * numbers are rounded to the input's type and multiplied by the weight (T5, Llama); with another they are multiplied by
 * offset + weight before they are rounded (Gemma).
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

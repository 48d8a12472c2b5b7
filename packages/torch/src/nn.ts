// Modules: a parameter store with the checkpoint's own names, and the layers that read from it.
import { embedding, linear } from './functional.js';
import { scope } from './scope.js';
import type { Tensor } from './tensor.js';

/**
 * The parameters of a model by their checkpoint names, in a fixed order. Layers hold the very same tensors, so a parameter
 * changes for the model when it is written in place (`copy_`), never by replacing the entry.
 */
export type Parameters = ReadonlyMap<string, Tensor>;

/** A low-rank addition to a linear layer (LoRA, Hu et al. 2021): scale * B A x. */
export interface LowRank {
  /** [r, I] */
  readonly a: Tensor;
  /** [O, r] */
  readonly b: Tensor;
  readonly scale: number;
}

/** x [..., I] -> [..., O]. */
export class Linear {
  /** What is added to the layer's own product, in this order. */
  lowRanks: readonly LowRank[] = [];
  constructor(
    /** [O, I] */
    readonly weight: Tensor,
    /** [O] */
    readonly bias?: Tensor,
  ) {}
  forward(x: Tensor): Tensor {
    const y = linear(x, this.weight, this.bias);
    if (this.lowRanks.length === 0) return y;
    return scope(() =>
      this.lowRanks.reduce((sum, { a, b, scale }) => {
        return sum.add(linear(linear(x, a.to(x.dtype)), b.to(x.dtype)), scale);
      }, y),
    );
  }
}

/** ids [...] -> [..., E]. */
export class Embedding {
  constructor(
    /** [V, E] */
    readonly weight: Tensor,
  ) {}
  forward(ids: Tensor): Tensor {
    return embedding(this.weight, ids);
  }
}

/** Root-mean-square norm over the last dimension, computed in float32 whatever the input's type (as in T5 and Llama). */
export class RMSNorm {
  constructor(
    /** [E] */
    readonly weight: Tensor,
    readonly epsilon: number,
  ) {}
  forward(x: Tensor): Tensor {
    return scope(() => {
      const wide = x.float();
      const normed = wide.mul(wide.square().mean(-1, true).add(this.epsilon).rsqrt());
      return normed.to(x.dtype).mul(this.weight);
    });
  }
}

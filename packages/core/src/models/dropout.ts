// Dropout masks of one forward pass: each place in the model draws its own, as a function of the pass's seed.
import { deriveSeed, dropout, type Tensor } from '@promot/torch';

/** Make one for every forward pass (with a seed derived from the run's seed, the step and the micro-batch). */
export class Dropout {
  /** Of the next mask: who runs a part again goes back to where it stood. */
  place = 0;
  constructor(
    /** Probability that an element is zeroed. */
    readonly rate: number,
    readonly seed: number,
  ) {}
  apply(x: Tensor): Tensor {
    const { rate, seed } = this.next();
    return dropout(x, rate, seed);
  }
  /** What the next mask follows from. */
  next(): { readonly rate: number; readonly seed: number } {
    return { rate: this.rate, seed: deriveSeed(this.seed, this.place++) };
  }
}

/** Applies dropout where there is any. */
export function maybe(dropout: Dropout | undefined, x: Tensor): Tensor {
  return dropout && dropout.rate > 0 ? dropout.apply(x) : x;
}

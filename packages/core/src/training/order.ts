// The order in which a task's examples are read: each epoch is a seeded permutation of all of them, one after the
// other.
import { permutation } from '../base/random.js';

/** A pure function of its arguments; the last epoch's order is remembered. */
export class ExampleOrder {
  #epoch = -1;
  #order: Uint32Array = new Uint32Array();
  constructor(
    readonly examples: number,
    readonly seed: number,
    /** Tells one stage's order from another's. */
    readonly stage: number,
  ) {}

  /** The example at a place (from 0), counted on across epochs. */
  at(place: number): { index: number; epoch: number } {
    const epoch = Math.floor(place / this.examples);
    if (epoch !== this.#epoch) {
      this.#order = permutation(this.examples, this.seed, this.stage, epoch);
      this.#epoch = epoch;
    }
    return { index: this.#order[place % this.examples]!, epoch };
  }
}

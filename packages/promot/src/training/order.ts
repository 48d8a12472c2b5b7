// Which examples stand in which batch: each epoch is a seeded permutation of all examples, read on across epochs.
import { permutation } from '../data/random.js';

/** Indices of the examples of a step (from 1): a pure function of the arguments; the last epoch's order is remembered. */
export class ExampleOrder {
  #epoch = -1;
  #order: Uint32Array = new Uint32Array();
  constructor(
    readonly examples: number,
    readonly batchSize: number,
    readonly seed: number,
    /** Tells one stage's order from another's. */
    readonly stage: number,
  ) {}

  at(step: number): { index: number; epoch: number }[] {
    return Array.from({ length: this.batchSize }, (_, i) => {
      const place = (step - 1) * this.batchSize + i;
      const epoch = Math.floor(place / this.examples);
      if (epoch !== this.#epoch) {
        this.#order = permutation(this.examples, this.seed, this.stage, epoch);
        this.#epoch = epoch;
      }
      return { index: this.#order[place % this.examples]!, epoch };
    });
  }
}

// The batches of a long piece of work divided over the ranks that work together. Batches stay whole: so every rank
// gets, in the end, just the numbers that one process alone would have computed.
import { distributed } from '@promot/torch';
import type { ApartPasses } from '../models/blocks.js';
import type { LanguageModel } from '../models/model.js';

const longestBatchSeconds = 3600;

/** One process alone has all batches. All ranks must call the same in the same order. */
export class Division<T> {
  #batches = 0;
  readonly #own: [number: number, result: T][] = [];
  readonly #rank = distributed.getRank();
  readonly #ranks = distributed.getWorldSize();
  readonly #apart: ApartPasses | undefined;

  /** Until `finish` each rank goes through passes of its own, also of a model that is divided. */
  constructor({ blocks }: LanguageModel) {
    this.#apart = blocks.apart;
    this.#apart?.begin();
  }

  /** Whether the next batch is this rank's to do. */
  takesNext(): boolean {
    return this.#batches++ % this.#ranks === this.#rank;
  }

  /** What this rank found out about an item. */
  add(number: number, result: T): void {
    if (this.#ranks > 1) this.#own.push([number, result]);
  }

  /** Waits for all ranks and hears of the items that others did. */
  async finish(hear: (number: number, result: T) => void): Promise<void> {
    if (this.#ranks === 1) return;
    await this.#apart?.end();
    // A batch may take one rank minutes, where the others have none.
    await distributed.monitoredBarrier(longestBatchSeconds);
    const all = await distributed.allGatherObject(this.#own);
    all.forEach((results, rank) => {
      if (rank !== this.#rank) for (const [number, result] of results) hear(number, result);
    });
  }
}

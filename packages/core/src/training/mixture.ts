// Which examples stand in which batch, where they come from several tasks: sources, their rates, and the passes of a
// step.
import type { Tensor } from '@promot/torch';
import { UserError } from '../base/errors.js';
import type { Mixing } from '../methods/settings.js';
import type { TrainingExamples } from './examples.js';
import { type MicroBatch, toMicroBatches } from './micro-batch.js';
import { ExampleOrder } from './order.js';

/** One task's part of the batches. */
export interface Source {
  readonly examples: TrainingExamples;
  /** What stands in front of its inputs [P, E]. */
  readonly prompt?: Tensor;
  /** Exemplars in front of its inputs. */
  readonly shots: 0 | 1;
  /** Its share of the examples is this over the sum of all rates. */
  readonly rate: number;
}

interface MixtureOptions {
  readonly batchSize: number;
  /** Tells one stage's order from another's. */
  readonly stage: number;
}

/**
 * The batches of a stage. Each source is read in an order of its own, epoch after epoch, and gives its share of every
 * batch as nearly as whole numbers allow: at each place stands the source that is furthest behind its share. All of it
 * is a pure function of the step; the place that was reached is remembered.
 */
export class Mixture {
  readonly #shares: readonly number[];
  readonly #orders: readonly ExampleOrder[];
  #step = 0;
  /** Examples that each source has given up to and with `#step`. */
  #given: number[] = [];

  constructor(
    readonly sources: readonly Source[],
    readonly options: MixtureOptions,
  ) {
    const sum = sources.reduce((total, { rate }) => total + rate, 0);
    this.#shares = sources.map(({ rate }) => rate / sum);
    this.#orders = sources.map(
      ({ examples }) => new ExampleOrder(examples.examples.length, examples.options.seed, options.stage),
    );
  }

  /** How many examples of each source stand in the batch of a step (from 1), and how many stood in those before. */
  counts(step: number): { before: readonly number[]; counts: readonly number[] } {
    if (this.#step >= step || this.#given.length === 0) {
      this.#step = 0;
      this.#given = this.sources.map(() => 0);
    }
    while (this.#step < step - 1) this.#advance();
    const before = [...this.#given];
    this.#advance();
    return { before, counts: this.#given.map((given, source) => given - before[source]!) };
  }

  #advance(): void {
    for (let i = 0; i < this.options.batchSize; i++) {
      const place = this.#step * this.options.batchSize + i + 1;
      let next = 0;
      const behind = (source: number) => this.#shares[source]! * place - this.#given[source]!;
      for (let source = 1; source < this.sources.length; source++) if (behind(source) > behind(next)) next = source;
      this.#given[next]!++;
    }
    this.#step++;
  }

  /** The batch of a step, in passes of one source each, of at most `size` examples. */
  batch(step: number, size: number): MicroBatch[] {
    const { before, counts } = this.counts(step);
    return this.sources.flatMap(({ examples, prompt, shots }, source) => {
      const tokenized = Array.from({ length: counts[source]! }, (_, i) => {
        const { index, epoch } = this.#orders[source]!.at(before[source]! + i);
        return examples.tokens(index, epoch, shots);
      });
      return toMicroBatches(tokenized, size, prompt);
    });
  }
}

/** Rates of tasks by the setting `mixing`. Errors: a UserError where it does not name just these tasks. */
export function mixingRates(
  mixing: Mixing,
  tasks: readonly { readonly name: string; readonly size: number }[],
): number[] {
  if (mixing === 'equal') return tasks.map(() => 1);
  if (mixing === 'size') return tasks.map(({ size }) => size);
  const names = tasks.map(({ name }) => name);
  const stranger = Object.keys(mixing).find((name) => !names.includes(name));
  if (stranger !== undefined)
    throw new UserError(`setting mixing: the run has no task ${stranger}; its tasks are ${names.join(', ')}`);
  return names.map((name) => {
    const rate = mixing[name];
    if (rate === undefined) throw new UserError(`setting mixing: it gives no rate for the task ${name}`);
    return rate;
  });
}

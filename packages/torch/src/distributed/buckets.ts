// Gradients summed over all ranks in buckets, each under way while the next ones are still computed.
import { noGrad } from '../autograd.js';
import { tensor, zerosLike } from '../creation.js';
import { cat } from '../functional.js';
import { keep, scope } from '../scope.js';
import { call, type Tensor } from '../tensor.js';
import { allReduceCoalesced } from './group.js';

const MIB = 1 << 20;
const BYTES_OF_FLOAT = 4;

interface Bucket {
  readonly parameters: Tensor[];
  /**
   * What is summed: the gradients, or float32 copies where they are of a narrower type; and 1 for each gradient that
   * there is.
   */
  sums: Tensor[];
  done?: Promise<void>;
}

/**
 * Sums the gradients of parameters over all ranks. All ranks must have the same parameters in the same order: the order
 * in which their gradients get ready, so usually last to first. The first bucket is small, so that the exchange begins
 * early.
 *
 * Sums are taken in float32. A rank may have no gradient of a parameter, because it had nothing to do; a parameter of
 * which no rank has a gradient keeps none.
 *
 * @example
 * const buckets = new GradientBuckets([...model.parameters.values()].reverse());
 * loss.backward();
 * buckets.start();
 * await buckets.finish();
 */
export class GradientBuckets {
  readonly #buckets: Bucket[];
  readonly #ready = new Set<Tensor>();
  #started = 0;

  constructor(parameters: readonly Tensor[], sizes: { first?: number; bytes?: number } = {}) {
    this.#buckets = divide(parameters, sizes.first ?? MIB, sizes.bytes ?? 25 * MIB).map((own) => ({
      parameters: own,
      sums: [],
    }));
  }

  /**
   * Says that a parameter's gradient is final. Starts each bucket that is complete and whose turn it is; does not wait.
   */
  ready(parameter: Tensor): void {
    this.#ready.add(parameter);
    for (let next = this.#next(); next?.parameters.every((p) => this.#ready.has(p)); next = this.#next())
      this.#begin(next);
  }

  /** Starts all buckets that have not been started; does not wait. */
  start(): void {
    for (let next = this.#next(); next; next = this.#next()) this.#begin(next);
  }

  /**
   * Waits until every parameter has the sum over all ranks, divided by `divisor`, as its gradient. The buckets can then
   * be used for the next step.
   * @throws DistributedError where a rank failed
   */
  async finish(divisor = 1): Promise<void> {
    this.start();
    try {
      for (const bucket of this.#buckets) await bucket.done;
      if (this.#buckets.length === 0) return;
      // Read all at once: a GPU has to finish all its work before each reading.
      const ranksWith = noGrad(() => scope(() => cat(this.#buckets.map(({ sums }) => sums.at(-1)!)).toNumbers()));
      for (const bucket of this.#buckets)
        noGrad(() => scope(() => writeBack(bucket, divisor, ranksWith.splice(0, bucket.parameters.length))));
    } finally {
      for (const bucket of this.#buckets) {
        for (const sum of bucket.sums) sum.dispose();
        bucket.sums = [];
        bucket.done = undefined;
      }
      this.#ready.clear();
      this.#started = 0;
    }
  }

  #next(): Bucket | undefined {
    return this.#buckets[this.#started];
  }

  #begin(bucket: Bucket): void {
    this.#started++;
    const gradients = bucket.parameters.map((parameter) => keep(scope(() => wideGradient(parameter))));
    const { device } = gradients[0]!;
    const there = bucket.parameters.map((parameter) => (scope(() => parameter.grad === undefined) ? 0 : 1));
    bucket.sums = [...gradients, keep(scope(() => tensor(there).toDevice(device)))];
    bucket.done = allReduceCoalesced(bucket.sums);
  }
}

/** The gradient itself where it is float32, a float32 copy of a narrower one, zeros where there is none. */
function wideGradient(parameter: Tensor): Tensor {
  const gradient = parameter.grad;
  return gradient ? gradient.float() : noGrad(() => zerosLike(parameter.detach().float()));
}

/** `ranksWith`: how many ranks have a gradient of each parameter. */
function writeBack({ parameters, sums }: Bucket, divisor: number, ranksWith: readonly number[]): void {
  if (divisor !== 1) call('aten::_foreach_div_.Scalar', sums.slice(0, -1), divisor);
  parameters.forEach((parameter, i) => {
    if (ranksWith[i] === 0) return;
    const sum = sums[i]!;
    const gradient = parameter.grad;
    // Backward from a leaf gives it that gradient. One in float32 was summed in place.
    if (!gradient) parameter.backward(sum.to(parameter.dtype));
    else if (gradient.dtype !== 'float32') gradient.copy_(sum);
  });
}

/** The parameters in their order, in buckets that are closed as soon as they have so many bytes. */
function divide(parameters: readonly Tensor[], first: number, others: number): Tensor[][] {
  const buckets: Tensor[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const parameter of parameters) {
    if (bytes >= (buckets.length <= 1 ? first : others)) {
      buckets.push([]);
      bytes = 0;
    }
    buckets.at(-1)?.push(parameter);
    bytes += BYTES_OF_FLOAT * parameter.numel;
  }
  return buckets;
}

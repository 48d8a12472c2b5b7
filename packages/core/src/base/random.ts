// Seeded random numbers that are a pure function of their place: the same (seed, epoch, index, ...) always gives the
// same draw, so a resumed run equals an uninterrupted one. For data order and exemplars only; tensors draw from
// libtorch.

/** Mixes one 32-bit word into a hash state (the finaliser of MurmurHash3, public domain, Austin Appleby). */
function mix(state: number, word: number): number {
  let hash = Math.imul(state ^ word, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) + 0x9e3779b9;
}

/**
 * A stream of random 32-bit integers, keyed by any list of integers (seed first, then the place).
 * The generator is sfc32 (Chris Doty-Humphrey's PractRand), its four words hashed from the key.
 */
export class RandomStream {
  readonly #words: [number, number, number, number];

  /** Errors: a RangeError where a key is not a safe integer (a fraction would silently share a stream). */
  constructor(...key: readonly number[]) {
    const word = (lane: number): number => {
      let state = mix(0x243f6a88, lane);
      for (const value of key) {
        if (!Number.isSafeInteger(value)) throw new RangeError(`a random key must be an integer, not ${value}`);
        state = mix(mix(state, value | 0), Math.floor(value / 2 ** 32) | 0);
      }
      return mix(state, key.length) | 0;
    };
    this.#words = [word(0), word(1), word(2), 1];
    for (let i = 0; i < 12; i++) this.next();
  }

  /** The next integer, uniform over [0, 2^32). */
  next(): number {
    const s = this.#words;
    const result = (s[0] + s[1] + s[3]) | 0;
    s[3] = (s[3] + 1) | 0;
    s[0] = s[1] ^ (s[1] >>> 9);
    s[1] = (s[2] + (s[2] << 3)) | 0;
    s[2] = ((s[2] << 21) | (s[2] >>> 11)) + result;
    s[2] |= 0;
    return result >>> 0;
  }

  /** An integer uniform over [0, bound), without modulo bias; `bound` from 1 to 2^32. */
  integer(bound: number): number {
    if (!Number.isInteger(bound) || bound < 1 || bound > 2 ** 32) throw new RangeError(`bad bound ${bound}`);
    const limit = 2 ** 32 - (2 ** 32 % bound);
    for (;;) {
      const draw = this.next();
      if (draw < limit) return draw % bound;
    }
  }
}

/** An integer uniform over [0, bound): a pure function of the seed and the place. */
export function drawInteger(bound: number, seed: number, ...place: readonly number[]): number {
  return new RandomStream(seed, ...place).integer(bound);
}

/**
 * A permutation of 0 ... length - 1: a pure function of the seed and the place (for training, the epoch).
 * Fisher-Yates; O(length) time and memory.
 */
export function permutation(length: number, seed: number, ...place: readonly number[]): Uint32Array {
  const random = new RandomStream(seed, ...place);
  const order = Uint32Array.from({ length }, (_, i) => i);
  for (let i = length - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    const swapped = order[i]!;
    order[i] = order[j]!;
    order[j] = swapped;
  }
  return order;
}

// Randomness as a pure function of (seed, places): a resumed run draws what an uninterrupted one would have drawn.

/** Mixes 32 bits well (two multiplications, three shifts). */
function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/**
 * A seed of 53 bits from a seed and any number of places (step, micro-batch, layer, ...), each a whole number.
 *
 * @example dropout(x, 0.1, deriveSeed(seed, step, layer));
 */
export function deriveSeed(seed: number, ...places: number[]): number {
  let low = mix(seed >>> 0) ^ mix(Math.floor(seed / 2 ** 32) + 0x9e3779b9);
  let high = mix(low ^ 0x85ebca6b);
  for (const place of places) {
    low = mix(low ^ mix((place >>> 0) + 0x9e3779b9) ^ mix(Math.floor(place / 2 ** 32) + 0x7f4a7c15));
    high = mix(high ^ low);
  }
  return (high & 0x1fffff) * 2 ** 32 + (low >>> 0);
}

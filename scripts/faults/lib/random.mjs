// Random numbers that a seed decides, and what campaigns draw with them.

/** A generator of 32-bit numbers from a text (xmur3 for the state, mulberry32 for the numbers). */
export function random(text) {
  let hash = 1779033703 ^ text.length;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 3432918353);
    hash = (hash << 13) | (hash >>> 19);
  }
  let state = hash >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return (x ^ (x >>> 14)) >>> 0;
  };
  const below = (n) => (n <= 0 ? 0 : next() % n);
  return { next, below, of: (list) => list[below(list.length)] };
}

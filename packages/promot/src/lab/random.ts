// Small helpers over the seeded stream: what the lab's generators draw, and hashes of texts as keys.

import type { RandomStream } from '@promot/core/base';

/** FNV-1a hash of a text's UTF-16 units, 32 bits; a key for streams and for the division into splits. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  // FNV's low bits are weak on short texts; two rounds of xor-shift-multiply spread them.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** One element of a list that is not empty. */
export function pick<T>(random: RandomStream, list: readonly T[]): T {
  return list[random.integer(list.length)]!;
}

/** An element other than those given; the list must hold one. */
export function pickOther<T>(random: RandomStream, list: readonly T[], taken: readonly T[]): T {
  for (;;) {
    const element = pick(random, list);
    if (!taken.includes(element)) return element;
  }
}

/** True once in `percent` of a hundred draws. */
export function chance(random: RandomStream, percent: number): boolean {
  return random.integer(100) < percent;
}

/** A copy in random order (Fisher-Yates). */
export function shuffled<T>(random: RandomStream, list: readonly T[]): T[] {
  const result = [...list];
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}

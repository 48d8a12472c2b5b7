// Kernels of the addon must not depend on how many threads share their work.
import { expect } from 'vitest';
import { scope, type Tensor, threads } from '../src/index.js';

/** What `run` gives has the same bits with one thread and with three. */
export function expectSameBits(run: () => readonly Tensor[]): void {
  const before = threads();
  try {
    scope(() => {
      const [one, three] = [1, 3].map((count) => {
        threads(count);
        return run();
      }) as [readonly Tensor[], readonly Tensor[]];
      expect(one.map((tensor, i) => tensor.equal(three[i]!))).toEqual(one.map(() => true));
    });
  } finally {
    threads(before);
  }
}

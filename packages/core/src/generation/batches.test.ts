import { expect, test } from 'vitest';
import { lengthSortedBatches } from './batches.js';

test('every item once, longest first, equal lengths in their order', () => {
  expect(lengthSortedBatches([3, 9, 3, 1, 7], 2, () => true)).toEqual([[1, 4], [0, 2], [3]]);
  expect(lengthSortedBatches([], 2, () => true)).toEqual([]);
});

test('without a size, a batch holds what fits, one item at least and 32 at most', () => {
  const lengths = [50, 10, 10, 10, 5, 5];
  const fits = (batch: readonly number[]) => batch.length * lengths[batch[0]!]! <= 20;
  expect(lengthSortedBatches(lengths, undefined, fits)).toEqual([[0], [1, 2], [3, 4], [5]]);
  expect(lengthSortedBatches(Array(70).fill(1), undefined, () => true).map((b) => b.length)).toEqual([32, 32, 6]);
});

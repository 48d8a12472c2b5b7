// Ragged token ids to padded tensors and back.
import { type Tensor, tensor } from '@promot/torch';
import type { Ids } from './model.js';

/** Ids [B, S] padded at the end, and a mask [B, S] that is true at real tokens. */
export function pad(sequences: readonly Ids[], padding: number): { ids: Tensor; mask: Tensor; longest: number } {
  const longest = Math.max(0, ...sequences.map((s) => s.length));
  const ids = new BigInt64Array(sequences.length * longest).fill(BigInt(padding));
  const mask = new Uint8Array(sequences.length * longest);
  sequences.forEach((sequence, row) => {
    const start = row * longest;
    sequence.forEach((id, i) => {
      ids[start + i] = BigInt(id);
      mask[start + i] = 1;
    });
  });
  const shape = [sequences.length, longest];
  return { ids: tensor(ids, { shape }), mask: tensor(mask, { shape, dtype: 'bool' }), longest };
}

/** A tensor of ids [N]. */
export function idTensor(ids: readonly number[]): Tensor {
  return tensor(BigInt64Array.from(ids, BigInt));
}

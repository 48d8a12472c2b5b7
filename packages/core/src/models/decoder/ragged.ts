// Sequences of different lengths without padding: linear layers and norms see them side by side, attention row by row,
// or side by side, too, where a kernel can do so.
// Shapes: B sequences, N tokens of all together, L tokens of the longest, P places of a prefix, G key/value heads, H
// heads, D head width.
import { cat, type Packed, packedPlaces, scope, type Tensor } from '@promot/torch';
import { idTensor } from '../padding.js';
import type { KeysAndValues } from './cache.js';

/** How the tokens [1, N, ...] of B sequences, one after the other, are put into rows [B, ..., L, ...] and back. */
export interface Ragged {
  /** The number of the first token of each sequence. */
  readonly starts: readonly number[];
  readonly rows: number;
  readonly longest: number;
  /** [B * L]: the token at each place of the rows; behind a sequence's end any token, at which nothing looks. */
  readonly token: Tensor;
  /** [N]: the place in the rows of each token. */
  readonly place: Tensor;
}

/** The number of the first token of each sequence. */
function startsOf(lengths: readonly number[]): number[] {
  let tokens = 0;
  return lengths.map((length) => {
    tokens += length;
    return tokens - length;
  });
}

/** For sequences of these lengths, some of which differ. */
export function raggedOf(lengths: readonly number[]): Ragged {
  const starts = startsOf(lengths);
  const longest = Math.max(...lengths);
  const places = Array.from({ length: longest }, (_, i) => i);
  return {
    starts,
    rows: lengths.length,
    longest,
    token: idTensor(lengths.flatMap((length, b) => places.map((i) => (i < length ? starts[b]! + i : 0)))),
    place: idTensor(lengths.flatMap((length, b) => places.slice(0, length).map((i) => b * longest + i))),
  };
}

/** For attention that sees the tokens [1, N, ...] of sequences side by side, each behind the same prefix. */
export interface PackedSequences {
  /** The number of the first token of each sequence. */
  readonly starts: readonly number[];
  readonly places: Packed;
  /** [B * P + N]: which of the prefix's P places and the N tokens stand in front of each other. Absent: no prefix. */
  readonly keyTokens?: Tensor | undefined;
}

/** For sequences of these lengths behind a prefix of so many places. */
export function sideBySide(lengths: readonly number[], before: number): PackedSequences {
  const starts = startsOf(lengths);
  const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
  const keyTokens = lengths.flatMap((length, b) => [...range(0, before), ...range(before + starts[b]!, length)]);
  return { starts, places: packedPlaces(lengths, before), ...(before > 0 && { keyTokens: idTensor(keyTokens) }) };
}

/** [1, heads, N, D] -> [N, heads, D] */
export function tokensFirst(x: Tensor): Tensor {
  return x.squeeze(0).transpose(0, 1);
}

/** Keys and values [N, G, D] of the tokens [1, G, N, D], each sequence's behind those of the prefix [1, G, P, D]. */
export function behindEach(
  own: KeysAndValues,
  prefix: KeysAndValues | undefined,
  { keyTokens }: PackedSequences,
): KeysAndValues {
  return own.map((of, i) => {
    const before = prefix?.[i];
    if (!before || !keyTokens) return tokensFirst(of);
    return cat([tokensFirst(before), tokensFirst(of)]).indexSelect(0, keyTokens);
  }) as KeysAndValues;
}

/** [1, H, N, D] -> [B, H, L, D] */
export function toRows(x: Tensor, { rows, longest, token }: Ragged): Tensor {
  return scope(() => {
    const [, heads, tokens, width] = x.shape as [number, number, number, number];
    return x
      .transpose(1, 2)
      .reshape(tokens, heads * width)
      .indexSelect(0, token)
      .view(rows, longest, heads, width)
      .transpose(1, 2);
  });
}

/** [B, H, L, D] -> [1, N, H * D] */
export function toTokens(x: Tensor, { rows, longest, place }: Ragged): Tensor {
  return scope(() => {
    const [, heads, , width] = x.shape as [number, number, number, number];
    return x
      .transpose(1, 2)
      .reshape(rows * longest, heads * width)
      .indexSelect(0, place)
      .unsqueeze(0);
  });
}

// Sequences of different lengths without padding: linear layers and norms see them side by side, attention row by row.
// Shapes: B sequences, N tokens of all together, L tokens of the longest, H heads, D head width.
import { scope, type Tensor } from '@promot/torch';
import { idTensor } from '../padding.js';

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

/** For sequences of these lengths, some of which differ. */
export function raggedOf(lengths: readonly number[]): Ragged {
  let tokens = 0;
  const starts = lengths.map((length) => {
    tokens += length;
    return tokens - length;
  });
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

// Attention with rotary positions and G <= H key/value heads, each shared by H / G query heads.
// Shapes: B batch, L sequence length, E width, H heads, G key/value heads, D head width.
import {
  attendFromOne,
  cat,
  Linear,
  op,
  packedAttention,
  type RMSNorm,
  rotate,
  scaledDotProductAttention,
  scope,
  type Tensor,
} from '@promot/torch';
import type { LinearPlace } from '../linear-place.js';
import type { Weights } from '../weights.js';
import type { Context, KeysAndValues } from './cache.js';
import { behindEach, type PackedSequences, type Ragged, tokensFirst, toRows, toTokens } from './ragged.js';
import type { Turn } from './rope.js';
import type { DecoderSpec } from './spec.js';

/**
 * What attention may see: everything before (fused), or a bias added to the scores. With `ragged` or `side`, what is
 * read are sequences one after the other [1, N, E], each of which sees itself alone; with `side` the last `window`
 * places, and those of a prefix, in one kernel. With both, the context keeps keys and values in rows.
 */
export type Mask = (
  | { readonly causal: true; readonly bias?: undefined }
  | { readonly causal?: undefined; readonly bias: Tensor }
) & {
  readonly ragged?: Ragged | undefined;
  readonly side?: { readonly by: PackedSequences; readonly window: number } | undefined;
};

export class Attention {
  /** One layer each, or one of all three. */
  readonly #inputs: readonly Linear[];
  readonly #output: Linear;
  readonly #queryNorm: RMSNorm | undefined;
  readonly #keyNorm: RMSNorm | undefined;
  /** Whether query and key are normed before they are split into heads. */
  readonly #normsProjection: boolean;
  readonly #heads: number;
  readonly #groups: number;
  readonly #headWidth: number;
  readonly #scale: number;
  readonly #cap: number | undefined;

  constructor(spec: DecoderSpec, weights: Weights, name: string, place: Omit<LinearPlace, 'parts'>) {
    const { width, heads, keyHeads, headWidth, biases, initialDeviation: std } = spec;
    this.#heads = heads;
    this.#groups = keyHeads;
    this.#headWidth = headWidth;
    this.#scale = spec.scoreScale;
    this.#cap = spec.scoreCap;
    const parts = [
      { role: 'query', rows: heads * headWidth },
      { role: 'key', rows: keyHeads * headWidth },
      { role: 'value', rows: keyHeads * headWidth },
    ] as const;
    const linear = (of: string, of_: LinearPlace['parts']) =>
      weights.linear(`${name}.${of}`, width, { ...place, attention: 'self', parts: of_ }, std, biases.input);
    this.#inputs = spec.fused
      ? [linear('qkv_proj', parts)]
      : parts.map((part) => linear(`${part.role[0]}_proj`, [part]));
    const output: LinearPlace = { ...place, attention: 'self', parts: [{ role: 'output', rows: width }] };
    this.#output = weights.linear(`${name}.o_proj`, heads * headWidth, output, std, biases.output);
    this.#normsProjection = spec.queryKeyNorm === 'projection';
    if (spec.queryKeyNorm !== 'none') {
      const norm = (of: string, count: number) =>
        weights.norm(
          `${name}.${of}_norm`,
          this.#normsProjection ? count * headWidth : headWidth,
          spec.normEpsilon,
          spec.normOffset,
        );
      this.#queryNorm = norm('q', heads);
      this.#keyNorm = norm('k', keyHeads);
    }
  }

  /**
   * x [B, L, E] -> [B, L, E], or only the `wanted` places of all [1, W, E]. `turn` is absent where the layer knows no
   * positions.
   */
  forward(
    x: Tensor,
    turn: Turn | undefined,
    mask: Mask,
    context: Context | undefined,
    index: number,
    wanted?: Tensor,
  ): Tensor {
    return scope(() => {
      const [q, k, v] = this.#project(x);
      if (mask.side) {
        const { by, window } = mask.side;
        const query = tokensFirst(this.#placed(q, this.#heads, this.#queryNorm, turn));
        const own: KeysAndValues = [this.#placed(k, this.#groups, this.#keyNorm, turn), this.#split(v, this.#groups)];
        const { ragged } = mask;
        if (ragged) context?.append(index, ...(own.map((t) => toRows(t, ragged)) as KeysAndValues));
        const [keys, values] = behindEach(own, context?.prefix?.layers[index], by);
        const mixed = packedAttention(query, keys, values, by.places, { scale: this.#scale, window });
        return this.#output.forward(placesOf(mixed.reshape(1, x.size(1), -1), wanted));
      }
      const rows = (t: Tensor) => (mask.ragged ? toRows(t, mask.ragged) : t);
      const query = rows(this.#placed(q, this.#heads, this.#queryNorm, turn));
      const own: KeysAndValues = [
        rows(this.#placed(k, this.#groups, this.#keyNorm, turn)),
        rows(this.#split(v, this.#groups)),
      ];
      const parts = context ? context.append(index, ...own) : [own];
      const prefix = context?.prefix?.layers[index];
      if (x.size(1) === 1 && mask.bias && !mask.ragged)
        return this.#output.forward(
          placesOf(
            attendFromOne(query, prefix ? [prefix, ...parts] : parts, mask.bias, {
              scale: this.#scale,
              cap: this.#cap,
            }),
            wanted,
          ),
        );
      // Of more places than one only the first tokens are read.
      let [[keys, values]] = parts as [KeysAndValues];
      if (prefix) {
        const [before, of] = prefix.map((t) => t.expand(query.size(0), -1, -1, -1)) as KeysAndValues;
        [keys, values] = [cat([before, keys], 2), cat([of, values], 2)];
      }
      const mixed = this.#attendInGroups(query, keys, values, mask);
      const all = mask.ragged ? toTokens(mixed, mask.ragged) : mixed.transpose(1, 2).reshape(x.size(0), x.size(1), -1);
      return this.#output.forward(placesOf(all, wanted));
    });
  }

  /** Keys and values [B, G, S, D] of states [B, S, E]; without `turn` they have no places. */
  read(states: Tensor, turn?: Turn): KeysAndValues {
    return scope(() => {
      const [, k, v] = this.#project(states);
      return [this.#placed(k, this.#groups, this.#keyNorm, turn), this.#split(v, this.#groups)];
    });
  }

  /** x [B, L, E] -> query, key and value [B, L, heads * D]. */
  #project(x: Tensor): [Tensor, Tensor, Tensor] {
    const projected = Linear.together(this.#inputs, x);
    if (projected.length === 3) return projected as [Tensor, Tensor, Tensor];
    const [all] = projected as [Tensor];
    const [queries, keys] = [this.#heads * this.#headWidth, this.#groups * this.#headWidth];
    return [all.narrow(2, 0, queries), all.narrow(2, queries, keys), all.narrow(2, queries + keys, keys)];
  }

  /** [B, L, heads * D] -> [B, heads, L, D], normed and turned. */
  #placed(x: Tensor, heads: number, norm: RMSNorm | undefined, turn: Turn | undefined): Tensor {
    const split = this.#split(norm && this.#normsProjection ? norm.forward(x) : x, heads);
    const normed = norm && !this.#normsProjection ? norm.forward(split) : split;
    return turn ? rotate(normed, turn.cos, turn.sin, turn.planes) : normed;
  }

  #attend(query: Tensor, keys: Tensor, values: Tensor, mask: Mask): Tensor {
    if (this.#cap === undefined)
      return scaledDotProductAttention(query, keys, values, {
        mask: mask.bias,
        causal: mask.causal,
        scale: this.#scale,
      });
    // The fused kernel has no cap.
    if (mask.causal) throw new Error('capped scores need a bias for a mask');
    const scores = query.matmul(keys.transpose(2, 3)).mul(this.#scale);
    const capped = op('aten::tanh', scores.div(this.#cap)).mul(this.#cap);
    // The softmax is computed in float32.
    return capped.add(mask.bias).float().softmax(3).to(query.dtype).matmul(values);
  }

  /** [B, L, heads * D] -> [B, heads, L, D] */
  #split(x: Tensor, heads: number): Tensor {
    const [rows, places] = x.shape as [number, number];
    return places === 1 ? x.reshape(rows, heads, 1, -1) : x.reshape(rows, places, heads, -1).transpose(1, 2);
  }

  /** Query [B, H, L, D], keys and values [B, G, S, D] -> [B, H, L, D]. */
  #attendInGroups(query: Tensor, keys: Tensor, values: Tensor, mask: Mask): Tensor {
    const [b, h, l, d] = query.shape as [number, number, number, number];
    const groups = this.#groups;
    if (groups === h) return this.#attend(query, keys, values, mask);
    // Groups stand side by side as if they were rows of the batch, so that keys are not copied for each head. Rows with
    // a mask of their own would need a copy of it for each group; kernels of a GPU were not tried with such keys.
    if ((mask.bias?.size(0) ?? 1) > 1 || query.device !== 'cpu')
      return this.#attend(query, this.#share(keys), this.#share(values), mask);
    return scope(() => {
      const shared = (x: Tensor) => x.reshape(b * groups, 1, -1, d).expand(b * groups, h / groups, -1, -1);
      const grouped = query.reshape(b * groups, h / groups, l, d);
      return this.#attend(grouped, shared(keys), shared(values), mask).reshape(b, h, l, d);
    });
  }

  /** [B, G, L, D] -> [B, H, L, D] */
  #share(x: Tensor): Tensor {
    const repeats = this.#heads / this.#groups;
    const [b, g, l, d] = x.shape as [number, number, number, number];
    return x
      .unsqueeze(2)
      .expand(b, g, repeats, l, d)
      .reshape(b, g * repeats, l, d);
  }
}

/** Of x [B, L, E] the places whose numbers among all B * L are given [W]: [1, W, E]. All of x where none are. */
export function placesOf(x: Tensor, wanted: Tensor | undefined): Tensor {
  if (!wanted) return x;
  return scope(() => x.reshape(-1, x.size(2)).indexSelect(0, wanted).unsqueeze(0));
}

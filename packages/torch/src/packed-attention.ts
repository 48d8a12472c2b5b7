// Attention of sequences that lie one after the other, without padding and without a mask. On CPUs with AVX2 and
// without AVX-512 it is a kernel of our own (native/packed-attention.cc), elsewhere libtorch's flash kernel over the
// places where the sequences begin (cu_seqlens), which some GPUs have for 16-bit numbers.
import { noGrad } from './autograd.js';
import { randn, tensor } from './creation.js';
import { withDevice } from './device.js';
import { cat, scaledDotProductAttention } from './functional.js';
import { scope } from './scope.js';
import { call, type DType, op, type Tensor } from './tensor.js';

/** Where sequences lie: the queries of B of them one after the other, and their keys. */
export interface Packed {
  /** [B + 1] int32: the first query of each sequence, and the number of all. */
  readonly queries: Tensor;
  /** The same of keys. A sequence has at least as many keys as queries; its last query belongs to its last key. */
  readonly keys: Tensor;
  readonly mostQueries: number;
  readonly mostKeys: number;
}

/** Places of sequences with so many queries each, behind as many more keys. */
export function packedPlaces(lengths: readonly number[], before = 0): Packed {
  const sums = (more: number) => {
    let sum = 0;
    return tensor(Int32Array.from([0, ...lengths.map((length) => (sum += length + more))]));
  };
  const most = Math.max(...lengths);
  return { queries: sums(0), keys: sums(before), mostQueries: most, mostKeys: most + before };
}

/**
 * softmax(query key^T * scale) value of each sequence by itself, where a query sees its own key and those before it, or
 * the last `window` of them: query [N, H, D], key and value [M, G, D] -> [N, H, D]; a key's head serves H / G of the
 * query's. Throws libtorch's Error where there is no kernel for the device, the type or D: see `hasPackedAttention`.
 */
export function packedAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  { queries, keys, mostQueries, mostKeys }: Packed,
  { scale, window = Number.POSITIVE_INFINITY }: { scale?: number; window?: number } = {},
): Tensor {
  return scope(() => {
    const hasWindow = window !== Number.POSITIVE_INFINITY;
    if (query.device === 'cpu' && call('promot::packed_attention_takes', query)) {
      const [name, by] = ['promot::packed_attention', scale ?? query.size(2) ** -0.5];
      return op(name, query, key, value, queries, keys, by, hasWindow ? window : null);
    }
    const lengths = [queries, keys, mostQueries, mostKeys];
    const back = hasWindow ? window - 1 : null;
    const name = 'aten::_flash_attention_forward';
    // No dropout; causal; no table of the weights.
    const found = call(name, query, key, value, ...lengths, 0, true, false, scale ?? null, back, null);
    return (found as Tensor[])[0]!;
  });
}

/**
 * How far `packedAttention` is from the formula at most, on the current device, for small sequences with numbers of
 * size 1. Throws where there is no kernel.
 */
export function packedAttentionApart(dtype: DType, headWidth: number): number {
  return noGrad(() =>
    scope(() => {
      const [lengths, before, heads, groups, window] = [[3, 1, 5], 2, 4, 2, 4];
      const tokens = lengths.reduce((sum, length) => sum + length, 0);
      const rows = (count: number, of: number, seed: number) => randn([count, of, headWidth], seed).to(dtype);
      const query = rows(tokens, heads, 1);
      const [key, value] = [2, 3].map((seed) => rows(tokens + before * lengths.length, groups, seed)) as [
        Tensor,
        Tensor,
      ];
      const places = packedPlaces(lengths, before);
      const found = [undefined, window].map((own) =>
        packedAttention(query, key, value, places, { scale: 0.3, ...(own && { window: own }) }),
      );
      // [L, heads, D] -> [1, heads, L, D] in float32.
      const apart = (x: Tensor, from: number, count: number) =>
        x.narrow(0, from, count).float().transpose(0, 1).unsqueeze(0);
      const shared = (x: Tensor) => x.repeatInterleave(heads / groups, 1);
      const wanted = [Number.POSITIVE_INFINITY, window].map((most) => {
        let [q, k] = [0, 0];
        return cat(
          lengths.map((length) => {
            const all = before + length;
            const sees = Array.from({ length }, (_, i) =>
              Array.from({ length: all }, (_, j) => Number(j <= before + i && before + i - j < most)),
            );
            const mask = tensor(sees.flat()).gt(0.5).view(length, all);
            const mixed = scaledDotProductAttention(
              apart(query, q, length),
              shared(apart(key, k, all)),
              shared(apart(value, k, all)),
              { mask, scale: 0.3 },
            );
            [q, k] = [q + length, k + all];
            return mixed.squeeze(0).transpose(0, 1);
          }),
        );
      });
      return Math.sqrt(Math.max(...found.map((one, i) => one.float().sub(wanted[i]!).square().amax().item())));
    }),
  );
}

/** What 16-bit numbers of size 1 may be off by. */
export const mostPackedApart = 0.03;

const tried = new Map<string, boolean>();

/**
 * Whether `packedAttention` can be used for tensors like this one: it is tried once for each device, type and head
 * width, and must give what the formula gives.
 */
export function hasPackedAttention({ device, dtype }: Tensor, headWidth: number): boolean {
  const key = `${device} ${dtype} ${headWidth}`;
  const known = tried.get(key);
  if (known !== undefined) return known;
  let has = false;
  try {
    has = withDevice(device, () => packedAttentionApart(dtype, headWidth)) <= mostPackedApart;
  } catch {
    // No such kernel.
  }
  tried.set(key, has);
  return has;
}

// Attention of one new place of each row, as cached generation asks for it.
// Shapes: B rows, H heads, G key/value heads, D head width, L places of a part, R key rows of a part.
import { cat } from './functional.js';
import { scope } from './scope.js';
import { call, isOnKernels, op, type Tensor } from './tensor.js';

/** Keys and values [R, G, L, D], each row of which is the same for B / R rows of queries in turn. */
export type KeyPart = readonly [keys: Tensor, values: Tensor];

export interface AttendFromOneOptions {
  /** What products are multiplied by. */
  scale: number;
  /** Scores s become cap * tanh(s / cap) before the bias is added. Default: they stay. */
  cap?: number | undefined;
}

/** Numbers that the kernel goes through together. */
const lanes = 8;

/**
 * softmax(query keys^T * scale + bias) values over the places of all parts, one after the other: query [B, H, 1, D],
 * bias [B or 1, 1, 1, all places] -> [B, 1, H * D]. A head of the keys serves H / G of the query's. No keys are copied.
 */
export function attendFromOne(
  query: Tensor,
  parts: readonly KeyPart[],
  bias: Tensor,
  options: AttendFromOneOptions,
): Tensor {
  const all = [query, bias, ...parts.flat()];
  // In one pass (native/attend-from-one.cc), which has no gradient.
  const fits =
    options.cap === undefined && query.size(3) % lanes === 0 && query.numel > 0 && isOnKernels(all, 'float32');
  if (!fits || all.some((t) => t.requiresGrad)) return plainAttendFromOne(query, parts, bias, options);
  const [keys, values] = [0, 1].map((i) => parts.map((part) => part[i]!)) as [Tensor[], Tensor[]];
  return call('promot::attend_from_one', query, keys, values, bias, options.scale) as Tensor;
}

/**
 * `attendFromOne` by libtorch's operators, for every type and device. The H / G heads of a group stand side by side as
 * if they were places, and so do the rows that look at the same keys.
 */
export function plainAttendFromOne(
  query: Tensor,
  parts: readonly KeyPart[],
  bias: Tensor,
  { scale, cap }: AttendFromOneOptions,
): Tensor {
  return scope(() => {
    const [rows, , , width] = query.shape as [number, number, number, number];
    const groups = parts[0]![0].size(1);
    const grouped = query.reshape(rows, groups, -1, width);
    // [B, G, q, x] -> [R, G, B / R * q, x], and back.
    const together = (t: Tensor, own: number) =>
      own === rows
        ? t
        : t
            .reshape(own, rows / own, groups, -1, t.size(3))
            .transpose(1, 2)
            .reshape(own, groups, -1, t.size(3));
    const apart = (t: Tensor, own: number) =>
      own === rows
        ? t
        : t
            .view(own, groups, rows / own, -1, t.size(3))
            .transpose(1, 2)
            .reshape(rows, groups, -1, t.size(3));
    const products = parts.map(([keys]) => {
      const own = keys.size(0);
      return apart(together(grouped, own).matmul(keys.transpose(2, 3)), own);
    });
    // The softmax is computed in float32.
    const scores = cat(products, 3).mul(scale);
    const capped = cap === undefined ? scores : op('aten::tanh', scores.div(cap)).mul(cap);
    const weights = capped.add(bias).float().softmax(3).to(query.dtype);
    let start = 0;
    const mixed = parts.map(([, values]) => {
      const [own, , length] = values.shape as [number, number, number];
      const part = weights.narrow(3, start, length);
      start += length;
      return apart(together(part, own).matmul(values), own);
    });
    return mixed.reduce((sum, x) => sum.add(x)).reshape(rows, 1, -1);
  });
}

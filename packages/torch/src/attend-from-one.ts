// Attention of one new place of each row, as cached generation asks for it.
// Shapes: B rows, H heads, G key/value heads, D head width, L places of a part, R key rows of a part, S slots.
import { cat } from './functional.js';
import { scope } from './scope.js';
import { call, isOnKernels, op, type Tensor } from './tensor.js';

/**
 * Keys and values [R, G, L, D], each row of which is the same for B / R rows of queries in turn. In the last part they
 * may lie in slots instead: keys and values [S, G, 1, D], and the slots of each row's places [B, L] (int64).
 */
export type KeyPart = readonly [keys: Tensor, values: Tensor, slots?: Tensor];

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
 * bias [R, H or 1, 1, all places] -> [B, 1, H * D]. A head of the keys serves H / G of the query's, a row of the bias
 * B / R rows in turn. No keys are copied.
 */
export function attendFromOne(
  query: Tensor,
  parts: readonly KeyPart[],
  bias: Tensor,
  options: AttendFromOneOptions,
): Tensor {
  const numbers = [query, bias, ...parts.flatMap((part) => part.slice(0, 2) as Tensor[])];
  // In one pass (native/attend-from-one.cc), which has no gradient.
  const fits =
    options.cap === undefined && query.size(3) % lanes === 0 && query.numel > 0 && isOnKernels(numbers, 'float32');
  if (!fits || numbers.some((t) => t.requiresGrad)) return plainAttendFromOne(query, parts, bias, options);
  const [keys, values] = [0, 1].map((i) => parts.map((part) => part[i]!)) as [Tensor[], Tensor[]];
  return call('promot::attend_from_one', query, keys, values, parts.at(-1)?.[2], bias, options.scale) as Tensor;
}

/**
 * `attendFromOne` by libtorch's operators, for every type and device. The H / G heads of a group stand side by side as
 * if they were places, and so do the rows that look at the same keys.
 */
export function plainAttendFromOne(
  query: Tensor,
  given: readonly KeyPart[],
  bias: Tensor,
  { scale, cap }: AttendFromOneOptions,
): Tensor {
  return scope(() => {
    const [rows, , , width] = query.shape as [number, number, number, number];
    const parts = given.map(([keys, values, slots]): [Tensor, Tensor] => {
      if (!slots) return [keys, values];
      const [b, l] = slots.shape as [number, number];
      const index = slots.reshape(-1);
      const picked = (t: Tensor) => t.indexSelect(0, index).view(b, l, -1, width).transpose(1, 2);
      return [picked(keys), picked(values)];
    });
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
    const [own, heads, , all] = bias.shape as [number, number, number, number];
    const added = bias
      .unsqueeze(1)
      .expand(own, rows / own, heads, 1, all)
      .reshape(rows, heads, 1, all)
      .expand(rows, query.size(1), 1, all)
      .reshape(rows, groups, -1, all);
    const weights = capped.add(added).float().softmax(3).to(query.dtype);
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

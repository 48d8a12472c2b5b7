// Functions of several tensors, as in torch and torch.nn.functional.
import { ones, zeros } from './creation.js';
import { scope } from './scope.js';
import { call, type DType, inFloat, isOnKernels, isSlowBf16, op, type Tensor } from './tensor.js';

/** x [..., I] times the transpose of weight [O, I], plus bias [O]. Where it pays, by a kernel (native/linear.cc). */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  return linears(x, [{ weight, ...(bias && { bias }) }])[0]!;
}

/** `linear` with several weights: their products are one piece of work for the threads. */
export function linears(x: Tensor, layers: readonly { readonly weight: Tensor; readonly bias?: Tensor }[]): Tensor[] {
  if (isSlowBf16(x)) return layers.map(({ weight, bias }) => op('promot::linear_in_float', x, weight, bias ?? null));
  const [weights, biases] = [layers.map(({ weight }) => weight), layers.map(({ bias }) => bias ?? null)];
  return call('promot::linears', x, weights, biases) as Tensor[];
}

/** Adds the product of a [I, K] and b [K, J] to sum [I, J]. */
export function addProduct(sum: Tensor, a: Tensor, b: Tensor): void {
  if (isSlowBf16(sum)) scope(() => sum.add_(a.matmul(b)));
  else call('aten::addmm_', sum, a, b);
}

/** Rows of weight [V, E] at ids [...] -> [..., E]. */
export function embedding(weight: Tensor, ids: Tensor): Tensor {
  return op('aten::embedding', weight, ids);
}

/** Tensors one after the other along an existing dimension. */
export function cat(tensors: readonly Tensor[], dim = 0): Tensor {
  return op('aten::cat', tensors, dim);
}

/** Tensors side by side along a new dimension. */
export function stack(tensors: readonly Tensor[], dim = 0): Tensor {
  return op('aten::stack', tensors, dim);
}

/**
 * Inverted dropout: each element is zeroed with probability `rate`, the others scaled by 1/(1-rate). The mask is a
 * function of the seed and the element's place alone (native/dropout.cc).
 */
export function dropout(x: Tensor, rate: number, seed: number): Tensor {
  return rate === 0 ? x.alias() : op('promot::dropout', x, rate, seed);
}

/** Up to so many scores of a head, products of whole batches are faster in bf16; beyond, their memory weighs more. */
const mostPlainScores = 512 * 512;

/**
 * softmax(query key^T * scale + mask) value, for query [B, H, T, D] and key, value [B, H, S, D]; `mask` broadcasts to
 * [B, H, T, S]: true where attention is allowed, or numbers to add. `scale` is 1 / sqrt(D) where it is not given.
 * `dropout` falls on the weights before they meet the values: as `dropout` does on a CPU, whose fused kernel has none,
 * and elsewhere within the kernel, with another mask of the same seed (native/attention.cc).
 */
export function scaledDotProductAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options: {
    mask?: Tensor;
    causal?: boolean;
    scale?: number;
    dropout?: { rate: number; seed: number } | undefined;
  } = {},
): Tensor {
  const { mask, causal = false, scale, dropout: { rate, seed } = { rate: 0, seed: 0 } } = options;
  const [b, h, t, d] = query.shape as [number, number, number, number];
  const s = key.size(2);
  if (isSlowBf16(query)) {
    const added = mask && mask.dtype !== 'bool' ? { mask: mask.float() } : {};
    return inFloat(query, (q) => scaledDotProductAttention(q, key.float(), value.float(), { ...options, ...added }));
  }
  // One kernel forward and one backward (native/biased-attention.cc).
  if (mask?.dtype === 'float32' && mask.shape.length === 4 && call('promot::biased_attention_takes', query))
    return op('promot::biased_attention', query, key, value, mask, scale ?? d ** -0.5, rate, seed);
  if (rate > 0 && query.device !== 'cpu')
    return op('promot::attention', query, key, value, mask ?? null, rate, causal, scale ?? null, seed);
  // On a CPU the fused kernel multiplies head by head. In bf16 each of these products has a cost of its own: with the
  // gradient it takes 2 to 9 times as long (bench/attention.mjs).
  const fusedIsSlow = query.dtype === 'bfloat16' && query.device === 'cpu' && t * s <= mostPlainScores;
  if (rate === 0 && !fusedIsSlow)
    return op('aten::scaled_dot_product_attention', query, key, value, mask ?? null, 0, causal, scale ?? null, false);
  return scope(() => {
    const allowed = causal ? tril(ones([t, s], 'bool')) : mask?.dtype === 'bool' ? mask : undefined;
    const bias = allowed ? blocked(allowed, query.dtype) : (mask ?? zeros([1], query.dtype));
    const scores = op(
      'aten::baddbmm',
      bias.expand(b, h, t, s).reshape(b * h, t, s),
      query.reshape(b * h, t, d),
      key.reshape(b * h, s, d).transpose(1, 2),
      1,
      scale ?? d ** -0.5,
    );
    return dropout(scores.softmax(-1), rate, seed)
      .bmm(value.reshape(b * h, s, d))
      .view(b, h, t, d);
  });
}

/** 0 where `allowed` is true, minus infinity elsewhere, in its shape. */
function blocked(allowed: Tensor, dtype: DType): Tensor {
  return zeros(allowed.shape, dtype).maskedFill(allowed.logicalNot(), Number.NEGATIVE_INFINITY);
}

/** Lower triangle of ones: entry [t, s] is true where s <= t + diagonal. */
export function tril(x: Tensor, diagonal = 0): Tensor {
  return op('aten::tril', x, diagonal);
}

/**
 * RMSNorm: x [..., E] times the mean of its squares to the power -1/2 times (offset + weight [E]), computed in float32.
 * A 16-bit x is rounded before it meets the weight (T5, Llama), with an offset only after (Gemma, whose files hold
 * weight - 1).
 */
export function rmsNorm(x: Tensor, weight: Tensor, epsilon: number, offset: 0 | 1 = 0): Tensor {
  const { dtype } = x;
  // One pass forward and one backward (native/rms-norm.cc).
  if ((dtype === 'float32' || dtype === 'bfloat16') && weight.dtype === dtype && x.device === 'cpu')
    return op('promot::rms_norm', x, weight, epsilon, offset === 1);
  return plainRmsNorm(x, weight, epsilon, offset);
}

/** `rmsNorm` by libtorch's operators, for every type and device. */
export function plainRmsNorm(x: Tensor, weight: Tensor, epsilon: number, offset: 0 | 1 = 0): Tensor {
  return scope(() => {
    const wide = x.float();
    const normed = wide.mul(wide.square().mean(-1, true).add(epsilon).rsqrt());
    if (offset === 0) return normed.to(x.dtype).mul(weight);
    return normed.mul(weight.float().add(offset)).to(x.dtype);
  });
}

/**
 * Of each of N rows, -sum_v q_v log softmax(logits)_v + zLoss * (log Z)^2, where q is `confidence` at the target and
 * `other` at the V - 1 other places, which together are 1: logits [N, V], targets [N] -> [N] in float32. Forward no
 * table of log-probabilities is made, backward only that of the gradient (native/cross-entropy.cc).
 */
export function smoothedCrossEntropy(
  logits: Tensor,
  targets: Tensor,
  { confidence, other, zLoss = 0 }: { confidence: number; other: number; zLoss?: number },
): Tensor {
  return op('promot::cross_entropy', logits, targets, confidence, other, zLoss);
}

/** What a gate does before it is multiplied; `gelu-tanh` is gelu's approximation that T5.1.1 calls gelu_new. */
export type Activation = 'silu' | 'gelu-tanh';

/** activation(gate) * up, for two tensors of one shape. */
export function gated(gate: Tensor, up: Tensor, activation: Activation): Tensor {
  // One pass forward and one backward (native/gate.cc).
  if (isOnKernels([gate, up], 'float32') || isOnKernels([gate, up], 'bfloat16'))
    return op('promot::gate', gate, up, activation);
  return plainGated(gate, up, activation);
}

/** `gated` by libtorch's operators, for every type and device. */
export function plainGated(gate: Tensor, up: Tensor, activation: Activation): Tensor {
  return scope(() => (activation === 'silu' ? gate.silu() : gate.gelu('tanh')).mul(up));
}

/** Which numbers of a head are turned together: j with j + W / 2, or neighbours. */
export type Planes = 'halves' | 'pairs';

/**
 * Rotary positions (Su et al. 2021): the first W numbers of each head in x [B, H, L, D], turned by the angles of `cos`
 * and `sin` [B or 1, 1, L, W], which hold each angle at both places of its plane and get no gradient.
 */
export function rotate(x: Tensor, cos: Tensor, sin: Tensor, planes: Planes): Tensor {
  // One pass (native/rotate.cc).
  if (isOnKernels([x, cos, sin], 'float32')) return op('promot::rotate', x, cos, sin, planes === 'pairs');
  return plainRotate(x, cos, sin, planes);
}

/** `rotate` by libtorch's operators, for every type and device. */
export function plainRotate(x: Tensor, cos: Tensor, sin: Tensor, planes: Planes): Tensor {
  return scope(() => {
    const quarter = planes === 'halves' ? quarterTurnOfHalves : quarterTurnOfPairs;
    const turn = (part: Tensor) => part.mul(cos).add(quarter(part).mul(sin));
    const width = cos.size(3);
    const rest = x.size(3) - width;
    if (rest === 0) return turn(x);
    return cat([turn(x.narrow(3, 0, width)), x.narrow(3, width, rest)], 3);
  });
}

/** (a, b) -> (-b, a), where a is the first half of the last dimension and b the second. */
function quarterTurnOfHalves(x: Tensor): Tensor {
  const [first, second] = x.split(x.size(3) / 2, 3) as [Tensor, Tensor];
  return cat([second.neg(), first], 3);
}

/** As above for neighbours: (x0, x1, x2, x3, ...) -> (-x1, x0, -x3, x2, ...). */
function quarterTurnOfPairs(x: Tensor): Tensor {
  const pairs = x.reshape(x.size(0), x.size(1), x.size(2), -1, 2);
  return stack([pairs.select(4, 1).neg(), pairs.select(4, 0)], 4).reshape(...x.shape);
}

/**
 * Numbers of some bits each, in rows of `width` bytes: the lowest bits of a row's bytes are the first numbers, the next
 * ones those behind.
 */
export interface BitParts {
  /** uint8 [N blocks, count]; int8 for signed bytes. */
  readonly bytes: Tensor;
  readonly width: number;
  readonly bits: 1 | 2 | 4 | 8;
}

/** What `unpackBits` reads. */
export interface BitBlocks {
  readonly low: BitParts;
  /** Bits above those of `low`, of the same numbers. Default: none. */
  readonly high?: BitParts;
  /** Taken off each number. Default 0. */
  readonly offset?: number;
  /** float32 or float16 [N, groups], side by side: of each group of a block's numbers, as many in all groups. */
  readonly scale: Tensor;
  /** As `scale`. Default: nothing is added. */
  readonly plus?: Tensor;
}

/** Writes q scale + plus into `out` [N, numbers of a block], float32 on the CPU; each operation is rounded. */
export function unpackBits(out: Tensor, { low, high, offset = 0, scale, plus }: BitBlocks): void {
  // One pass (native/unpack-bits.cc).
  const above = [high?.bytes ?? null, high?.width ?? 1, high?.bits ?? 8] as const;
  call('promot::unpack_bits_', out, low.bytes, low.width, low.bits, ...above, offset, scale, plus ?? null);
}

/** True where every element of every tensor is finite. */
export function allFinite(tensors: readonly Tensor[]): boolean {
  // A sum reads once what `isfinite` goes over several times. Where it is finite all its numbers are; else some of them
  // is not, or the sum overflowed.
  return tensors.every((t) =>
    scope(() => Number.isFinite(t.sum().item()) || (call('aten::all', op('aten::isfinite', t)) as Tensor).item() === 1),
  );
}

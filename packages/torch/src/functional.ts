// Functions of several tensors, as in torch and torch.nn.functional.
import { call, op, type Tensor } from './tensor.js';

/** x [..., I] times the transpose of weight [O, I], plus bias [O]. */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  return op('aten::linear', x, weight, bias);
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
 * Inverted dropout: each element is zeroed with probability `rate`, the others scaled by 1/(1-rate). The mask is a function of
 * the seed and the element's place alone (native/dropout.cc).
 */
export function dropout(x: Tensor, rate: number, seed: number): Tensor {
  return rate === 0 ? x.alias() : op('promot::dropout', x, rate, seed);
}

/**
 * softmax(query key^T * scale + mask) value, for query [B, H, T, D] and key, value [B, H, S, D]; `mask` broadcasts to
 * [B, H, T, S]: true where attention is allowed, or numbers to add.
 */
export function scaledDotProductAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options: { mask?: Tensor; causal?: boolean; scale?: number; groupedQueries?: boolean } = {},
): Tensor {
  return op(
    'aten::scaled_dot_product_attention',
    query,
    key,
    value,
    options.mask ?? null,
    0,
    options.causal ?? false,
    options.scale ?? null,
    options.groupedQueries ?? false,
  );
}

/** Lower triangle of ones: entry [t, s] is true where s <= t + diagonal. */
export function tril(x: Tensor, diagonal = 0): Tensor {
  return op('aten::tril', x, diagonal);
}

/** Mean of squared elements to the power -1/2 times x times weight, computed in float32 (RMSNorm without mean subtraction). */
export function rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor {
  return op('aten::rms_norm', x, [x.size(-1)], weight, epsilon);
}

/** True where every element of every tensor is finite. */
export function allFinite(tensors: readonly Tensor[]): boolean {
  return tensors.every((t) => (call('aten::all', op('aten::isfinite', t)) as Tensor).item() === 1);
}

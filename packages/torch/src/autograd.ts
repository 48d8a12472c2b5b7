// Gradients without accumulation, and switching autograd off.
import { native } from './native.js';
import { Tensor } from './tensor.js';

/**
 * Gradients of the sum of `outputs` (scalars, unless `gradients` are given) with respect to `inputs`; undefined for an
 * input that has no part in it. Does not touch `grad` of any tensor.
 */
export function grad(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  options: { gradients?: readonly Tensor[]; retainGraph?: boolean } = {},
): (Tensor | undefined)[] {
  return native
    .grad(
      outputs.map((t) => t.handle),
      inputs.map((t) => t.handle),
      options.gradients?.map((t) => t.handle) ?? null,
      options.retainGraph ?? false,
    )
    .map((handle) => (handle === null ? undefined : new Tensor(handle)));
}

/** Accumulates gradients into the leaves of several tensors at once, each of which has the given gradient. */
export function backward(tensors: readonly Tensor[], gradients: readonly Tensor[]): void {
  if (tensors.length === 0) return;
  native.backward(
    tensors.map((t) => t.handle),
    gradients.map((t) => t.handle),
    false,
  );
}

/** Runs `body`, a synchronous function, without recording for gradients. */
export function noGrad<T>(body: () => T): T {
  const before = native.setGradEnabled(false);
  try {
    return body();
  } finally {
    native.setGradEnabled(before);
  }
}

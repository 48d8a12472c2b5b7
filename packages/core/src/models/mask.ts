// What attention adds to its scores so that it looks only where it may.
import { scope, type Tensor, zeros } from '@promot/torch';

/** Scores far below any real one: attention never looks there, and nothing becomes infinite. */
export const never = -1e9;

/** 0 where `allowed` (bool, any shape) is true, else `never`, in the element type of `like`. */
export function attentionBias(allowed: Tensor, like: Tensor): Tensor {
  return scope(() =>
    zeros([1], like.dtype)
      .expand(...allowed.shape)
      .maskedFill(allowed.logicalNot(), never),
  );
}

// The training loss: cross-entropy with T5X's label smoothing and an optional z-loss (t5x/losses.py).
import { scope, type Tensor } from '@promot/torch';

export interface LossOptions {
  /** e: the target gets 1 - e, each of the V - 1 others e / (V - 1). */
  labelSmoothing: number;
  /** Weight of log(Z)^2, which keeps the logits from drifting. */
  zLoss: number;
}

/**
 * The sum over N target tokens of the smoothed cross-entropy, in nats, as a scalar: logits [N, V], targets [N].
 * The constant that makes a perfect prediction cost 0 is taken off. Computed in float32.
 */
export function sumOfLosses(logits: Tensor, targets: Tensor, { labelSmoothing, zLoss }: LossOptions): Tensor {
  return scope(() => {
    const wide = logits.float();
    const rows = wide.size(1);
    const logZ = wide.logsumexp(1);
    const target = wide.gather(1, targets.unsqueeze(1)).squeeze(1);
    const confidence = 1 - labelSmoothing;
    const other = labelSmoothing / (rows - 1);
    // -sum_v q_v log p_v with log p_v = logit_v - log Z needs only three numbers a token: no [N, V] table of log p.
    let losses = logZ.sub(target, confidence);
    if (labelSmoothing > 0) losses = losses.sub(wide.sum(1).sub(target), other);
    const perfect =
      labelSmoothing > 0 ? -(confidence * Math.log(confidence) + (rows - 1) * other * Math.log(other + 1e-20)) : 0;
    losses = losses.sub(perfect);
    if (zLoss > 0) losses = losses.add(logZ.square(), zLoss);
    return losses.sum();
  });
}

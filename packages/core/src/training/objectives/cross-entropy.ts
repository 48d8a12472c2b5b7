// Cross-entropy with T5X's label smoothing and an optional z-loss (t5x/losses.py): the usual objective.
import { scope, smoothedCrossEntropy, type Tensor } from '@promot/torch';
import type { LossOptions, Objective } from './objective.js';

/**
 * The smoothed cross-entropy of each of N target tokens, in nats: logits [N, V] and targets [N] -> [N].
 * The constant that makes a perfect prediction cost 0 is taken off. Computed in float32.
 */
export function tokenLosses(logits: Tensor, targets: Tensor, { labelSmoothing, zLoss }: LossOptions): Tensor {
  return scope(() => {
    const rows = logits.size(1);
    const confidence = 1 - labelSmoothing;
    const other = labelSmoothing / (rows - 1);
    const perfect =
      labelSmoothing > 0 ? -(confidence * Math.log(confidence) + (rows - 1) * other * Math.log(other + 1e-20)) : 0;
    return smoothedCrossEntropy(logits, targets, { confidence, other, zLoss }).sub(perfect);
  });
}

/** The sum of `tokenLosses`, a scalar. */
export function sumOfLosses(logits: Tensor, targets: Tensor, options: LossOptions): Tensor {
  return scope(() => tokenLosses(logits, targets, options).sum());
}

export const crossEntropy: Objective = {
  name: 'cross-entropy',
  summary: 'the negative log-likelihood of the targets, smoothed (labelSmoothing)',
  ofLogitsAlone: true,
  loss: ({ logits, targets }, options) => sumOfLosses(logits, targets, options),
};

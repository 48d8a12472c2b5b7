// Entropy-adaptive fine-tuning: tokens that the model is sure about count less.
import { noGrad, scope, type Tensor } from '@promot/torch';
import { tokenLosses } from './cross-entropy.js';
import type { Objective } from './objective.js';

/** The paper's K: the entropy of so many of the likeliest tokens stands for that of all. */
const likeliest = 20;

/**
 * The gate of each token: the entropy of the model's K = 20 likeliest tokens (their probabilities made to sum to 1)
 * over its highest value, ln K: 0 where the model is sure, 1 where all K are equally likely. Without gradient. logits
 * [N, V] -> [N]
 */
export function entropyGate(logits: Tensor): Tensor {
  return noGrad(() =>
    scope(() => {
      const k = Math.min(likeliest, logits.size(1));
      const logP = logits.float().topk(k, 1).values.logSoftmax(1);
      return logP.exp().mul(logP).sum(1).div(-Math.log(k));
    }),
  );
}

/**
 * EAFT: the sum of gate * cross-entropy, with the gate of `entropyGate`. A target that the model finds unlikely while
 * it is sure of another ("confident conflict") no longer tears at what the model knows. Muxi Diao et al.,
 * "Entropy-Adaptive Fine-Tuning:
 * Resolving Confident Conflicts to Mitigate Forgetting", 2026 (https://arxiv.org/abs/2601.02151), with the linear gate.
 */
export const eaft: Objective = {
  name: 'eaft',
  summary: "entropy-adaptive fine-tuning: each token's loss times the model's own entropy there",
  // The paper weighs the plain cross-entropy; smoothing that is asked for is weighed with it.
  defaults: { labelSmoothing: 0 },
  ofLogitsAlone: true,
  loss: ({ logits, targets }, options) =>
    scope(() => tokenLosses(logits, targets, options).mul(entropyGate(logits)).sum()),
};

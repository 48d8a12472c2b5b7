// Dynamic fine-tuning: tokens that the model finds unlikely count less.
import { noGrad, scope } from '@promot/torch';
import { tokenLosses } from './cross-entropy.js';
import type { Objective } from './objective.js';

/**
 * DFT: the sum of p * cross-entropy, where p is the probability that the model gives to the target, without gradient.
 * Yongliang Wu et al., "On the Generalization of SFT: A Reinforcement Learning Perspective with Reward Rectification",
 * 2025 (https://arxiv.org/abs/2508.05629).
 */
export const dft: Objective = {
  name: 'dft',
  summary: "dynamic fine-tuning: each token's loss times the target's own probability",
  // The paper weighs the plain cross-entropy; smoothing that is asked for is weighed with it.
  defaults: { labelSmoothing: 0 },
  ofLogitsAlone: true,
  loss: ({ logits, targets }, options) =>
    scope(() => {
      const plain = { labelSmoothing: 0, zLoss: 0 };
      const probability = noGrad(() => scope(() => tokenLosses(logits, targets, plain).mul(-1).exp()));
      return tokenLosses(logits, targets, options).mul(probability).sum();
    }),
};

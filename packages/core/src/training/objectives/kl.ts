// A leash to the pretrained model: its distance in distribution, added to an objective.
import { noGrad, scope, type Tensor } from '@promot/torch';
import type { LanguageModel } from '../../models/model.js';
import type { Pass } from './objective.js';

/** The sum over N tokens of KL(base || tuned) in nats, a scalar: both [N, V]; the gradient goes to `tuned` alone. */
export function sumOfDivergences(base: Tensor, tuned: Tensor): Tensor {
  return scope(() => {
    const logP = noGrad(() => base.float().logSoftmax(1));
    const logQ = tuned.float().logSoftmax(1);
    return noGrad(() => logP.exp())
      .mul(logP.sub(logQ))
      .sum();
  });
}

/**
 * weight * KL(base || tuned), summed over the predicted tokens of a reading of the inputs: the tuned model pays for
 * finding unlikely what the base finds likely (Zhizhong Li and Derek Hoiem, "Learning without Forgetting", 2016,
 * https://arxiv.org/abs/1606.09282, at temperature 1, on the new task's own inputs).
 * @param base a frozen copy of the pretrained model. It reads the inputs behind the prompt of the pass, where it has
 * one.
 */
export function klPenalty(base: LanguageModel, weight: number): (pass: Pass) => Tensor {
  return ({ examples, prompt, logits }) =>
    scope(() => {
      const wanted = noGrad(() => base.logits(examples, { prompt }));
      return sumOfDivergences(wanted, logits).mul(weight);
    });
}

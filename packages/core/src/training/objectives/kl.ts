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

export interface KlOptions {
  readonly weight: number;
  /** Whether the soft prompt stands in front of the inputs where the two models are compared. */
  readonly prompt: boolean;
}

/**
 * weight * KL(base || tuned), summed over the predicted tokens of a pass: the tuned model pays for finding unlikely
 * what the base finds likely (Zhizhong Li and Derek Hoiem, "Learning without Forgetting", 2016,
 * https://arxiv.org/abs/1606.09282, at temperature 1, on the new task's own inputs). Without the prompt the tuned model
 * reads the inputs once more, without dropout: as other tasks will be asked.
 * @param base a frozen copy of the pretrained model.
 */
export function klPenalty(base: LanguageModel, { weight, prompt }: KlOptions): (pass: Pass) => Tensor {
  return (pass) =>
    scope(() => {
      const options = prompt ? { prompt: pass.prompt } : {};
      const wanted = noGrad(() => base.logits(pass.examples, options));
      const asTrained = prompt || pass.prompt === undefined;
      const tuned = asTrained ? pass.logits : pass.model.logits(pass.examples);
      return sumOfDivergences(wanted, tuned).mul(weight);
    });
}

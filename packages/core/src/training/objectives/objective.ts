// What training makes small: a function of what the model predicts in one pass of a batch.
import type { Tensor } from '@promot/torch';
import type { ConfigInput } from '../../methods/settings.js';
import type { LanguageModel, TokenizedExample } from '../../models/model.js';

/**
 * One forward pass as an objective sees it: N predicted tokens (`predictedIds` of its examples), V rows of the
 * vocabulary.
 */
export interface Pass {
  readonly model: LanguageModel;
  readonly examples: readonly TokenizedExample[];
  /** What stands in front of the inputs [P, E]. */
  readonly prompt?: Tensor;
  /** Before each predicted token, with gradient and dropout: [N, V]. */
  readonly logits: Tensor;
  /** The predicted tokens' ids [N]. */
  readonly targets: Tensor;
}

export interface LossOptions {
  /** e: the target gets 1 - e, each of the V - 1 others e / (V - 1). */
  labelSmoothing: number;
  /** Weight of log(Z)^2, which keeps the logits from drifting. */
  zLoss: number;
}

export interface Objective {
  /** What a person writes: `loss=NAME`. */
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
  /** Settings that it needs other than the usual defaults. */
  readonly defaults?: ConfigInput;
  /**
   * True: the loss needs nothing of a pass but logits and targets, token by token. Then it is computed a few tokens at
   * a time where the table of logits would be large. Default false.
   */
  readonly ofLogitsAlone?: boolean;
  /**
   * The sum over the N tokens of a pass, a scalar with gradient. Training divides it by the tokens of the whole batch.
   */
  loss(pass: Pass, options: LossOptions): Tensor;
}

// The objectives by name; `registerObjective` adds one.
import { Registry } from '../../base/registry.js';
import { crossEntropy } from './cross-entropy.js';
import { dft } from './dft.js';
import { eaft } from './eaft.js';
import type { Objective } from './objective.js';

export { sumOfLosses, tokenLosses } from './cross-entropy.js';
export { klPenalty, sumOfDivergences } from './kl.js';
export type { LossOptions, Objective, Pass } from './objective.js';
export { crossEntropy };

export const objectives = new Registry<Objective>('objective', [crossEntropy, eaft, dft]);

/**
 * Adds an objective, to be named as the setting `loss` or by a method's stage. Throws UserError where its name is
 * taken.
 *
 * @example
 * registerObjective({
 *   name: 'likelihood',
 *   summary: 'cross-entropy that no setting smooths',
 *   loss: ({ logits, targets }) => sumOfLosses(logits, targets, { labelSmoothing: 0, zLoss: 0 }),
 * });
 */
export function registerObjective(objective: Objective): void {
  objectives.add(objective);
}

// The public interface of promot: the library, with the lab's tasks and models, the paper's experiments and the
// quickstart.
import './lab/register.js';

export * from '@promot/core';
export { experiments } from './experiments/catalogue/index.js';
export { type Cost, type List, listExperiments } from './experiments/cost.js';
export { firstToReach, reachedByAll } from './experiments/equal-target.js';
export type { Experiment } from './experiments/experiment.js';
export {
  type Alignment,
  type GradientAlignment,
  type GradientAlignmentOptions,
  gradientAlignment,
  type ParameterGroup,
  parameterGroupNames,
} from './experiments/gradient-alignment.js';
export { type Outlook, outlook, type Reproduced, type ReproduceRequest, reproduce } from './experiments/reproduce.js';
export { type Combination, type SweepRequest, type Swept, sweep } from './experiments/sweep.js';
export { labModelFolder, labModelNames } from './lab/models.js';
export { type PretrainOptions, pretrainLab } from './lab/pretrain.js';
export { type QuickstartOptions, quickstart } from './quickstart/quickstart.js';
export type { QuickstartResult } from './quickstart/result.js';

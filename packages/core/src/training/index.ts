// What the room `training` offers to the packages above.
export { type BlockHooks, type BlockwiseOptions, blockwise } from './blockwise.js';
export { type ConfigInput, configKeys, defaultConfig, resolveConfig, type TrainingConfig } from './config.js';
export { type DryRun, dryRun, type ShownExample, type ShownToken } from './dry-run.js';
export type { LengthStatistics } from './estimate.js';
export type { KeepScore } from './keep.js';
export { trainLoop } from './loop.js';
export { type MicroBatch, toMicroBatches } from './micro-batch.js';
export {
  crossEntropy,
  type LossOptions,
  type Objective,
  objectives,
  type Pass,
  registerObjective,
  sumOfLosses,
} from './objectives/index.js';
export { type PlanInput, type PlanMemory, type PlannedWay, planRun, type Way, waysOf } from './plan.js';
export type { CheckpointMoment, MetricsLine, Place, TrainRequest, TrainResult, WorkEvent } from './request.js';
export { resumeRequest } from './resume.js';
export { learningRateAt } from './schedule.js';
export { readTokenList, writeTokenList } from './token-list.js';
export { train } from './train.js';

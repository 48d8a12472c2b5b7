// Processes that work together: torch.distributed's process groups, and the launchers' variables.
export { GradientBuckets } from './buckets.js';
export {
  abortProcessGroup,
  agree,
  allGatherIntoTensor,
  allReduce,
  allReduceCoalesced,
  backends,
  barrier,
  blocking,
  broadcast,
  destroyProcessGroup,
  explained,
  getLocalWorldSize,
  getRank,
  getStore,
  getWorldSize,
  howToGetNccl,
  initProcessGroup,
  isInitialized,
  monitoredBarrier,
  type ProcessGroupOptions,
  type ReduceOp,
  reduceScatterTensor,
} from './group.js';
export { allGatherObject, broadcastObject } from './objects.js';
export { DistributedError, expandNodes, type Ranks, ranksFromEnvironment, rankThreads } from './ranks.js';
export { Store } from './store.js';

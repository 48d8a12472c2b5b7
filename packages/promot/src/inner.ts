// For the scripts of this repository alone: what they use beside the public entries.
export { familyValues } from './cli/check-families.js';
export { merge } from './experiments/plan.js';
export { countedTasks, differenceOf, meanKept } from './experiments/real/equal.js';
export { earlyStopOf, looksOfArm, recordsOf, stepsOf } from './experiments/real/looks.js';
export { findScale } from './experiments/reproduce.js';
export * from './index.js';
export { translationExample } from './lab/translation.js';
export { workApart } from './quickstart/apart.js';

// What the room `artifacts` offers to the packages above.
export { isRun, RunFolder, readRun, type StageState } from './run-folder.js';
export { flattened, readTrainingRun, type TrainingRun } from './training-run.js';

// What the room `artifacts` offers to the packages above.
export type { KeepLine, OwnLine } from './metrics-file.js';
export { readResults, type StoredResult } from './results-file.js';
export { isRun, type RunFile, readRun } from './run-file.js';
export { RunFolder, type StageState } from './run-folder.js';
export { readSamples, type SampleLine, samplesPath } from './samples-file.js';
export { flattened, readTrainingRun, type TrainingRun } from './training-run.js';

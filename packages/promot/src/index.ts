// The public interface of promot. Importing it loads libtorch (and sets it up at the first use on a machine).
// Every command of `promot` but `doctor` is a thin face of a function here.

export { firstToReach, reachedByAll } from './analysis/equal-target.js';
export {
  type Alignment,
  type GradientAlignment,
  type GradientAlignmentOptions,
  gradientAlignment,
  type ParameterGroup,
  parameterGroupNames,
} from './analysis/gradient-alignment.js';
export { type Point, paretoFront } from './analysis/pareto.js';
export { type HubOptions, type HubProgress, hubSnapshot, isHubName } from './data/hub.js';
export { type DeviceSetting, useDevice } from './device.js';
export { UserError } from './errors.js';
export { type Comparison, compareResults } from './evaluation/compare.js';
export { type EvaluateOptions, type Evaluation, evaluateExamples, type Sample } from './evaluation/evaluate.js';
export { evaluateTask, type TaskOptions, type TaskResult, type TaskSample } from './evaluation/evaluate-task.js';
export { type EvaluateTasksRequest, evaluate, evaluateTasks, type Report } from './evaluation/evaluate-tasks.js';
export { formShare, inTargetForm, Language, type TargetForm, targetForm } from './evaluation/form.js';
export type { LikelihoodAccuracy } from './evaluation/likelihood.js';
export { experiments } from './experiments/catalogue/index.js';
export { type Cost, type List, listExperiments } from './experiments/cost.js';
export type { Experiment } from './experiments/experiment.js';
export { type Outlook, outlook, type Reproduced, type ReproduceRequest, reproduce } from './experiments/reproduce.js';
export { type Generated, type GenerateOptions, generate } from './generation/generate.js';
export { type Scored, type ScoreOptions, score } from './generation/score.js';
export { generateTexts, scoreText } from './generation/texts.js';
export { type PretrainEvent, pretrainLab } from './lab/pretrain.js';
export { type Interpolated, type InterpolateRequest, interpolate } from './merging/interpolate.js';
export { type Merged, type MergeRequest, mergeLora } from './merging/merge.js';
export { findMethod, type Method, methods, type Stage } from './methods/index.js';
export { bootstrapInterval, type Interval, type PairedComparison, pairedBootstrap } from './metrics/bootstrap.js';
export { metrics } from './metrics/index.js';
export type { Metric, MetricName, MetricResult, MetricSettings } from './metrics/metric.js';
export { computeMetricOnFiles, type MetricReport } from './metrics/metric-files.js';
export { type LoadedModel, saveModel } from './models/load.js';
export type { Ids, LanguageModel, ModelShape, TokenizedExample } from './models/model.js';
export { type QuickstartOptions, quickstart } from './quickstart/quickstart.js';
export type { QuickstartResult } from './quickstart/result.js';
export { makeReport, type ReportRequest, type WrittenReport } from './report/make-report.js';
export type {
  Cell,
  Figure,
  Point as FigurePoint,
  Report as ReportContent,
  Section,
  SideBySide,
  Table,
} from './report/report.js';
export { writeReport } from './report/write.js';
export { type OpenOptions, openModel, openPrompt } from './runs/open.js';
export { builtinTasks, type LoadTaskOptions, labTaskNames, loadTask } from './tasks/registry.js';
export type { Example, Task, TaskDefinition } from './tasks/task.js';
export type { Tokenizer } from './tokenizer/tokenizer.js';
export { type ConfigInput, configKeys, defaultConfig, resolveConfig, type TrainingConfig } from './training/config.js';
export { type DryRun, dryRun } from './training/dry-run.js';
export {
  type CheckpointMoment,
  type MetricsLine,
  type TrainEvent,
  type TrainRequest,
  type TrainResult,
  train,
} from './training/train.js';
export { writePromptAdapter } from './tuning/peft.js';

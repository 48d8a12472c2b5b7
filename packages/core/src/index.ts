// The public interface of the library. The entries `@promot/core/ROOM` offer more, room by room.

export { writePromptAdapter } from './adapters/peft.js';
export { UserError } from './base/errors.js';
export { type Comparison, compareResults } from './evaluation/compare.js';
export { evaluateExamples } from './evaluation/evaluate-examples.js';
export { evaluateLoaded, type TaskOptions, type TaskResult, type TaskSample } from './evaluation/evaluate-loaded.js';
export { type EvaluateTasksRequest, evaluate, evaluateTasks, type TasksResult } from './evaluation/evaluate-tasks.js';
export type { EvaluateOptions, Evaluation, Sample } from './evaluation/evaluation.js';
export { formShare, inTargetForm, Language, type TargetForm, targetForm } from './evaluation/form.js';
export type { LikelihoodAccuracy } from './evaluation/likelihood.js';
export { evaluateText, type TextOptions, type TextResult } from './evaluation/text.js';
export { type ChatOptions, generateTurn, generateTurns } from './generation/chat.js';
export { type Generated, type GenerateOptions, generate } from './generation/generate.js';
export { type Scored, type ScoreOptions, score } from './generation/score.js';
export { generateTexts, scoreText } from './generation/texts.js';
export { isHubName } from './hub/repository.js';
export type { HubOptions } from './hub/settings.js';
export { hubSnapshot } from './hub/snapshot.js';
export { type Interpolated, type InterpolateRequest, interpolate } from './merging/interpolate.js';
export { type Merged, type MergeRequest, mergeLora } from './merging/merge.js';
export { findMethod, type Method, methods, registerMethod, type Stage } from './methods/index.js';
export { bootstrapInterval, type Interval, type PairedComparison, pairedBootstrap } from './metrics/bootstrap.js';
export type { Answer, Metric, MetricChoice, MetricResult } from './metrics/metric.js';
export { computeMetricOnFiles, type MetricReport } from './metrics/metric-files.js';
export { ChosenMetric, chooseMetric, computeMetric, metrics, registerMetric } from './metrics/registry.js';
export { chooseDevice, type DeviceSetting } from './models/device.js';
export type { LoadedModel } from './models/load.js';
export type { Ids, LanguageModel, ModelShape, TokenizedExample } from './models/model.js';
export { type SaveOptions, saveModel } from './models/save.js';
export { type NamedModel, namedModels, registerModel } from './open/locate.js';
export { type OpenOptions, openModel, openPrompt } from './open/open.js';
export { makeReport, type ReportRequest, type WrittenReport } from './report/make-report.js';
export { type FrontPoint, paretoFront } from './report/pareto.js';
export type {
  Cell,
  Figure,
  FigurePoint,
  Report,
  Section,
  SideBySide,
  Table,
} from './report/report.js';
export { writeReport } from './report/write.js';
export {
  builtinTasks,
  type LoadTaskOptions,
  loadTask,
  type NamedTask,
  namedTasks,
  registerTask,
} from './tasks/registry.js';
export type { Example, Task, TaskDefinition } from './tasks/task.js';
export type { Tokenizer } from './tokenizer/tokenizer.js';
export { type ConfigInput, configKeys, defaultConfig, resolveConfig, type TrainingConfig } from './training/config.js';
export { type DryRun, dryRun } from './training/dry-run.js';
export {
  type Objective,
  objectives,
  type Pass,
  registerObjective,
  sumOfLosses,
  tokenLosses,
} from './training/objectives/index.js';
export { resumeRequest } from './training/resume.js';
export {
  type CheckpointMoment,
  type MetricsLine,
  type TrainRequest,
  type TrainResult,
  train,
  type WorkEvent,
} from './training/train.js';

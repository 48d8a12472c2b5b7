// What the room `evaluation` offers to the packages above.
export { type ComparedScore, type ComparedTask, type Comparison, compareResults } from './compare.js';
export { evaluateExamples, maxNewTokens, stopStrings } from './evaluate-examples.js';
export { evaluateLoaded, type TaskOptions, type TaskResult, type TaskSample } from './evaluate-loaded.js';
export { type EvaluateTasksRequest, evaluate, evaluateTasks, type TasksResult } from './evaluate-tasks.js';
export type { EvaluateOptions, Evaluation, Sample } from './evaluation.js';
export { formShare, inTargetForm, Language, type TargetForm, targetForm } from './form.js';
export type { LikelihoodAccuracy } from './likelihood.js';
export { type DocumentResult, evaluateText, type TextOptions, type TextResult } from './text.js';

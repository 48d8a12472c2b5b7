// For scripts, benchmarks and child processes of the tests in this repository alone: what they use beside the public
// entries.
export { attachLora } from './adapters/lora.js';
export { readLoraAdapter } from './adapters/lora-adapter.js';
export { readPromptAdapter } from './adapters/peft.js';
export { readAnswers } from './artifacts/answers-file.js';
export { readEvaluation } from './artifacts/evaluation-folder.js';
export { readPasses } from './artifacts/passes-file.js';
export { errorsPage, filesPage } from './artifacts/reference.js';
export { readFinished, readState } from './artifacts/state-file.js';
export { readRunSamples, readTrainingRun } from './artifacts/training-run.js';
export { evaluationExamples } from './evaluation/evaluate-loaded.js';
export { taskPrompts } from './evaluation/prompts.js';
export { dequantize } from './formats/dequantize.js';
export { readGguf } from './formats/gguf.js';
export { withFile } from './formats/reader.js';
export { scoreChoices } from './generation/score-choices.js';
export { scoreContinuations } from './generation/score-continuations.js';
export { startHubServer } from './hub/fixtures/hub-server.js';
export * from './index.js';
export { openCheckpoint } from './models/checkpoint.js';
export { openGguf } from './models/families/gguf.js';
export { CheckpointWeights } from './models/weights.js';
export { ChatTemplate } from './tokenizer/chat-template.js';
export { tokenizerFromGguf } from './tokenizer/gguf.js';
export { loadTokenizer } from './tokenizer/load.js';
export { Shards } from './training/shards.js';

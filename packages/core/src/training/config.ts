// The defaults of a training run, and the reason for each.
import type { Method } from '../methods/index.js';
import type { ConfigInput, StageConfig, TrainingConfig } from '../methods/settings.js';
import { overlay, parseSettings } from '../methods/settings.js';
import type { LanguageModel } from '../models/model.js';

export { type ConfigInput, configKeys, type TrainingConfig } from '../methods/settings.js';

const stageDefaults = {
  epochs: null,
  patience: 0,
  lowerRate: false,
  // The paper is silent on all of these: no schedule, no warm-up, no clipping, no decay.
  schedule: 'constant',
  warmupSteps: 0,
  gradientClip: 0,
  optimizer: 'adafactor',
  firstStep: 0,
  weightDecay: 0,
  // torch.optim's.
  beta2: 0.999,
  loraRank: 0,
} as const;

/**
 * The paper's settings (A.2.4, A.3.5) for a kind of model, with what a method wants other than that. A stage whose
 * settings have a name of their own begins with those of `stage2` where it trains the model, else with those of
 * `stage1`.
 */
export function defaultConfig(kind: LanguageModel['kind'], bf16Units: boolean, method?: Method): TrainingConfig {
  return resolveConfig(paperConfig(kind, bf16Units, method), method?.defaults ?? {});
}

/** The same without what the method wants. */
export function paperConfig(kind: LanguageModel['kind'], bf16Units: boolean, method?: Method): TrainingConfig {
  const seq2seq = kind === 'encoder-decoder';
  const stage1: StageConfig = { steps: 5000, learningRate: seq2seq ? 0.2 : 0.3, keepEvery: 1000, ...stageDefaults };
  // The paper gives no rate for decoder-only models ("default"). Ours comes from a small sweep on SmolLM2-135M, RTE
  // (docs/real-models.md): 0.0001 is slower, 0.001 jumps about.
  const stage2: StageConfig = { steps: 1000, learningRate: seq2seq ? 0.001 : 0.0003, keepEvery: 100, ...stageDefaults };
  const own =
    method?.stages.map(({ settings, trains }) => [settings, trains.includes('model') ? stage2 : stage1]) ?? [];
  return {
    preset: 'paper',
    seed: 0,
    device: 'auto',
    // bf16 pays where the processor or the GPU multiplies it; T5 never runs in fp16.
    precision: bf16Units ? 'bf16' : 'fp32',
    batchSize: 64,
    // Examples of like length share a pass, so small passes waste little on padding; the gradient does not depend on
    // it. An encoder-decoder's decoder has few places, and its passes are faster with more examples.
    microBatchSize: seq2seq ? 8 : 4,
    activationCheckpointing: 'auto',
    shard: false,
    // The Llama family is trained without: at 0.1, SmolLM2-135M's loss on RTE is 13.1 in place of 4.6 before any step.
    dropout: seq2seq ? 0.1 : 0,
    loss: 'cross-entropy',
    labelSmoothing: 0.1,
    zLoss: 0,
    maxInputLength: 0,
    addTokens: [],
    promptLength: seq2seq ? 100 : 50,
    promptInit: 'vocabulary',
    // The paper tried 2 and 4 (A.3.6).
    loraRank: 4,
    // 1 is the paper's "+1-shot".
    shots: 0,
    beams: 4,
    validationLimit: 0,
    choose: 'highest-score',
    keepCheckpoints: true,
    // The paper does not give its rates. By size, a large task would drown a small one.
    mixing: 'equal',
    replay: { tasks: [], share: 0 },
    keep: { tasks: [], shots: 1, limit: 50, tolerance: null },
    // With the prompt the tuned model is meant to differ.
    kl: { weight: 0, prompt: false },
    stages: { ...Object.fromEntries(own), stage1, stage2 },
  };
}

/** Defaults overlaid with what was given. Throws UserError naming the key for anything unknown or out of range. */
export function resolveConfig(defaults: TrainingConfig, given: ConfigInput): TrainingConfig {
  return overlay(defaults, parseSettings(given, Object.keys(defaults.stages)));
}

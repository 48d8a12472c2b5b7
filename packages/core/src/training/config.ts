// The settings of a training run: names, defaults and the reason for each default.
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { didYouMean } from '../base/nearest-name.js';
import type { LanguageModel } from '../models/model.js';
import { schedules } from './schedule.js';

const stageSchema = z.strictObject({
  /** Optimizer steps. */
  steps: z.int().positive(),
  learningRate: z.number().positive().max(1e6),
  /** A checkpoint is kept, evaluated and becomes a candidate every so many steps, and at the last one. */
  keepEvery: z.int().positive(),
  schedule: z.enum(schedules),
  /** Steps over which the rate climbs from 0 to its value. */
  warmupSteps: z.int().nonnegative(),
  /** Gradients longer than this are scaled down; 0: never. */
  gradientClip: z.number().nonnegative(),
  optimizer: z.enum(['adafactor', 'adamw', 'sgd']),
  /** Adafactor's step number at the first step; prompt-tuning's runs counted on from T5's 1,100,000. */
  firstStep: z.int().nonnegative(),
  weightDecay: z.number().nonnegative(),
});

const tasks = z.array(z.string().min(1), 'expected a list of tasks, such as [wic,cb]');

const configSchema = z.strictObject({
  seed: z.int().nonnegative(),
  /** auto: CUDA where libtorch can use it, else the CPU. */
  device: z.enum(['auto', 'cpu', 'cuda']),
  precision: z.enum(['fp32', 'bf16']),
  // The bounds are far beyond use: what is larger is a slip, and would end in a failure of memory or of numbers.
  batchSize: z.int().positive().max(65_536),
  /** Examples in one forward pass; the gradient of a batch is summed over its passes. */
  microBatchSize: z.int().positive().max(65_536),
  dropout: z.number().min(0).lt(1),
  labelSmoothing: z.number().min(0).lt(1),
  zLoss: z.number().nonnegative(),
  /** Longer inputs are cut at this many tokens; 0: never. */
  maxInputLength: z.int().nonnegative(),
  promptLength: z.int().positive().max(10_000),
  promptInit: z.string().min(1),
  /** Rank of LoRA in the first stage (lora-first). */
  loraRank: z.int().positive(),
  /** Exemplars in front of every training input, drawn anew each time; validation has as many. */
  shots: z.union([z.literal(0), z.literal(1)]),
  /** Beams of the validation's generation. */
  beams: z.int().positive(),
  /** At most so many validation examples at each kept checkpoint; 0: all. */
  validationLimit: z.int().nonnegative(),
  /** How several tasks share the batches: equal parts, parts by the size of their training splits, or a rate for each. */
  mixing: z.union(
    [z.enum(['equal', 'size']), z.record(z.string(), z.number().positive())],
    'expected equal, size, or a rate above 0 for each task',
  ),
  /** Examples of other tasks in the batches that train the model, without a prompt. */
  replay: z.strictObject({
    tasks,
    /** Of each batch, over all these tasks in equal parts. */
    share: z.number().min(0).lt(1),
  }),
  /** Other tasks that are evaluated, without a prompt, before and along the training of the model. */
  keep: z.strictObject({
    tasks,
    /** Exemplars in front of their inputs. */
    shots: z.union([z.literal(0), z.literal(1), z.literal(4)], 'expected 0, 1 or 4'),
    /** Only the first so many examples of each; 0: all. */
    limit: z.int().nonnegative(),
    /** Points of the tasks' mean score that the best checkpoint may lose; null: any number. */
    tolerance: z.number().nonnegative().nullable(),
  }),
  stage1: stageSchema,
  stage2: stageSchema.extend({
    /** What trains the model is LoRA of this rank on all its linear layers, merged at the end; 0: the weights themselves. */
    loraRank: z.int().nonnegative(),
  }),
});

export type StageConfig = z.infer<typeof stageSchema>;
export type TrainingConfig = z.infer<typeof configSchema>;
export type Mixing = TrainingConfig['mixing'];

/** Settings as a person gives them: any part of the keys. */
export type ConfigInput = { readonly [key: string]: unknown };

const stageDefaults = {
  // The paper is silent on all of these: no schedule, no warm-up, no clipping, no decay.
  schedule: 'constant',
  warmupSteps: 0,
  gradientClip: 0,
  optimizer: 'adafactor',
  firstStep: 0,
  weightDecay: 0,
} as const;

/** The paper's settings (A.2.4, A.3.5) for a kind of model. */
export function defaultConfig(kind: LanguageModel['kind'], bf16Units: boolean): TrainingConfig {
  const seq2seq = kind === 'encoder-decoder';
  return {
    seed: 0,
    device: 'auto',
    // bf16 pays where the processor or the GPU multiplies it; T5 never runs in fp16.
    precision: bf16Units ? 'bf16' : 'fp32',
    batchSize: 64,
    // Examples of like length share a pass, so small passes waste little on padding; the gradient does not depend on it.
    microBatchSize: 4,
    // The Llama family is trained without: at 0.1, SmolLM2-135M's loss on RTE is 13.1 in place of 4.6 before any step.
    dropout: seq2seq ? 0.1 : 0,
    labelSmoothing: 0.1,
    zLoss: 0,
    maxInputLength: 0,
    promptLength: seq2seq ? 100 : 50,
    promptInit: 'vocabulary',
    // The paper tried 2 and 4 (A.3.6).
    loraRank: 4,
    // 1 is the paper's "+1-shot".
    shots: 0,
    beams: 4,
    validationLimit: 0,
    // The paper does not give its rates. By size, a large task would drown a small one.
    mixing: 'equal',
    replay: { tasks: [], share: 0 },
    keep: { tasks: [], shots: 1, limit: 50, tolerance: null },
    stage1: { steps: 5000, learningRate: seq2seq ? 0.2 : 0.3, keepEvery: 1000, ...stageDefaults },
    // The paper gives no rate for decoder-only models ("default"). Ours comes from a small sweep on SmolLM2-135M, RTE
    // (docs/real-models.md): 0.0001 is slower, 0.001 jumps about.
    stage2: { steps: 1000, learningRate: seq2seq ? 0.001 : 0.0003, keepEvery: 100, ...stageDefaults, loraRank: 0 },
  };
}

/** Defaults overlaid with what was given. Throws UserError naming the key for anything unknown or out of range. */
export function resolveConfig(defaults: TrainingConfig, given: ConfigInput): TrainingConfig {
  const merged: Record<string, unknown> = { ...defaults };
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(defaults, key)) throw unknownKey(key, Object.keys(defaults));
    const before = defaults[key as keyof TrainingConfig];
    if (typeof before !== 'object') merged[key] = value;
    else {
      if (typeof value !== 'object' || value === null || Array.isArray(value))
        throw new UserError(`${key}: expected settings such as ${key}.${Object.keys(before)[0]}`);
      for (const inner of Object.keys(value))
        if (!Object.hasOwn(before, inner))
          throw unknownKey(
            `${key}.${inner}`,
            Object.keys(before).map((k) => `${key}.${k}`),
          );
      merged[key] = { ...before, ...value };
    }
  }
  const parsed = configSchema.safeParse(merged);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new UserError(`setting ${issue.path.join('.')}: ${issue.message}`);
}

function unknownKey(key: string, known: string[]): UserError {
  return new UserError(`unknown setting ${key}${didYouMean(key, known) || `; known are ${known.join(', ')}`}`);
}

/** Every key that people may set, dotted. */
export function configKeys(): string[] {
  return Object.entries(defaultConfig('encoder-decoder', false)).flatMap(([key, value]) =>
    typeof value === 'object' ? Object.keys(value).map((inner) => `${key}.${inner}`) : [key],
  );
}

// The settings of a training run: their names, types and bounds. Their defaults are the training room's
// (training/config.ts).
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { didYouMean } from '../base/nearest-name.js';

/** How a learning rate goes over the steps of a stage. */
const schedules = ['constant', 'linear', 'inverse-sqrt', 'cosine'] as const;
export type Schedule = (typeof schedules)[number];

const stageSchema = z.strictObject({
  /** Optimizer steps. */
  steps: z.int().positive(),
  /** In place of steps: passes over the training examples. null: the steps say it. */
  epochs: z.number().positive().max(1e6).nullable(),
  /** The stage ends where validation stands still for this many evaluations (training/choose.ts); 0: never. */
  patience: z.int().nonnegative(),
  learningRate: z.number().positive().max(1e6),
  /**
   * `learningRate=auto`: where the keep list warns, the stage goes back to its last good checkpoint and on at a third
   * of it.
   */
  lowerRate: z.boolean(),
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
  /** AdamW's decay of the second moment. */
  beta2: z.number().min(0).lt(1),
  /**
   * What trains the model is LoRA of this rank on all its linear layers, merged at the end; 0: the weights themselves.
   */
  loraRank: z.int().nonnegative().max(65_536),
});

const tasks = z.array(z.string().min(1), 'expected a list of tasks, such as [wic,cb]');

const configSchema = z.strictObject({
  /** Where the other settings' defaults come from: the paper, or a person's own data and the model. */
  preset: z.enum(['paper', 'own']),
  seed: z.int().nonnegative(),
  /** auto: CUDA where libtorch can use it, else the CPU. */
  device: z.enum(['auto', 'cpu', 'cuda']),
  precision: z.enum(['fp32', 'bf16']),
  // The bounds are far beyond use: what is larger is a slip, and would end in a failure of memory or of numbers.
  batchSize: z.int().positive().max(65_536),
  /**
   * Examples in one forward pass; the gradient of a batch is summed over its passes. `auto`: as many as memory should
   * allow. Where memory does not suffice, passes are halved from that step on.
   */
  microBatchSize: z.union([z.int().positive().max(65_536), z.literal('auto')], 'expected a number from 1 on, or auto'),
  /**
   * on: a layer's intermediate values are computed anew in the backward pass, in place of kept: less memory, more time,
   * the same bits. auto: where memory would not do.
   */
  activationCheckpointing: z.enum(['auto', 'on', 'off']),
  /**
   * Over several ranks: true divides the model with gradients and optimizer, `optimizer` the optimizer's state alone.
   */
  shard: z.union([z.boolean(), z.literal('optimizer')], 'expected true, false or optimizer'),
  dropout: z.number().min(0).lt(1),
  /** What training makes small: the name of an objective. */
  loss: z.string(),
  labelSmoothing: z.number().min(0).lt(1),
  zLoss: z.number().nonnegative(),
  /** Longer inputs are cut at this many tokens; 0: never. */
  maxInputLength: z.int().nonnegative(),
  /** Texts that become tokens of the model: rows of their own, trained with it. */
  addTokens: z.array(z.string().min(1).max(100), 'expected a list of tokens, such as ["{","}"]').max(1000),
  promptLength: z.int().positive().max(10_000),
  promptInit: z.string().min(1),
  /** Rank of LoRA in the first stage (lora-first). */
  loraRank: z.int().positive().max(65_536),
  /** Exemplars in front of every training input, drawn anew each time; validation has as many. */
  shots: z.union([z.literal(0), z.literal(1)]),
  /** Beams of the validation's generation. */
  beams: z.int().positive(),
  /** At most this many validation examples at each kept checkpoint; 0: all. */
  validationLimit: z.int().nonnegative(),
  /** The best checkpoint: the highest score, or the lowest validation loss within one standard error of it. */
  choose: z.enum(['highest-score', 'one-standard-error']),
  /** Whether the checkpoints of a finished run stay on disk. */
  keepCheckpoints: z.boolean(),
  /**
   * How several tasks share the batches: equal parts, parts by the size of their training splits, or a rate for each.
   */
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
    /** Only the first N examples of each; 0: all. */
    limit: z.int().nonnegative(),
    /** Points of the tasks' mean score that the best checkpoint may lose; null: any number. */
    tolerance: z.number().nonnegative().nullable(),
  }),
  /**
   * A penalty for leaving the pretrained model, in the stages that train the model: weight * KL(base || tuned) a token.
   */
  kl: z.strictObject({
    weight: z.number().nonnegative().max(1e6),
    /** Whether the two are compared with the soft prompt in front. */
    prompt: z.boolean(),
  }),
  /** Of each stage, by the name that the method gives to its settings. */
  stages: z.record(z.string(), stageSchema),
});

export type StageConfig = z.infer<typeof stageSchema>;
export type TrainingConfig = z.infer<typeof configSchema>;
export type Mixing = TrainingConfig['mixing'];

/** Settings as a person gives them: any part of the keys. */
export type ConfigInput = { readonly [key: string]: unknown };

/** The names of the settings of the paper's two stages. They may be written without `stages.`: `stage1.steps`. */
export const paperStages = ['stage1', 'stage2'] as const;

type Given = Readonly<Record<string, unknown>>;

/**
 * Checks settings that a person gave, and gives them back with `stage1` and `stage2` at their full places
 * (`stages.stage1`).
 * @param stages the names that `stages` may have.
 * Errors: a UserError that names the key for anything unknown or out of range.
 */
export function parseSettings(given: ConfigInput, stages: readonly string[] = paperStages): ConfigInput {
  const parsed: Record<string, unknown> = {};
  const byStage: Record<string, Record<string, unknown>> = {};
  const addStage = (name: string, value: unknown, place: string) => {
    const settings = parseGroup(stageSchema, withoutAuto(value), place);
    // Steps that are given stand in place of epochs that are not.
    const epochs = 'steps' in settings && !('epochs' in settings) ? { epochs: null } : {};
    byStage[name] = { ...byStage[name], ...epochs, ...settings };
  };
  const keys = [...Object.keys(configSchema.shape), ...paperStages];
  for (const [key, value] of Object.entries(given)) {
    if (!keys.includes(key)) throw unknownSetting(key, keys);
    if ((paperStages as readonly string[]).includes(key)) addStage(key, value, key);
    else if (key === 'stages')
      for (const [name, settings] of Object.entries(groupOf(value, key, stages[0]!))) {
        if (!stages.includes(name))
          throw unknownSetting(
            `stages.${name}`,
            stages.map((one) => `stages.${one}`),
          );
        addStage(name, settings, `stages.${name}`);
      }
    else parsed[key] = parseValue(configSchema.shape[key as keyof typeof configSchema.shape], value, key);
  }
  return Object.keys(byStage).length > 0 ? { ...parsed, stages: byStage } : parsed;
}

/**
 * `learningRate: auto` in the form that is kept: the default's rate, which may be lowered. A number is meant as it
 * stands.
 */
function withoutAuto(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('learningRate' in value)) return value;
  const { learningRate, ...rest } = value;
  if (learningRate === 'auto') return { ...rest, lowerRate: true };
  return 'lowerRate' in value ? value : { ...value, lowerRate: false };
}

function parseValue(schema: z.ZodType, value: unknown, place: string): unknown {
  if (schema instanceof z.ZodObject) return parseGroup(schema, value, place);
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const { path, message } = error.issues[0]!;
  throw new UserError(`setting ${[place, ...path].join('.')}: ${message}`);
}

function parseGroup(schema: z.ZodObject, value: unknown, place: string): Record<string, unknown> {
  const shape = schema.shape as Record<string, z.ZodType>;
  const known = Object.keys(shape);
  return Object.fromEntries(
    Object.entries(groupOf(value, place, known[0]!)).map(([key, inner]) => {
      if (!known.includes(key))
        throw unknownSetting(
          `${place}.${key}`,
          known.map((one) => `${place}.${one}`),
        );
      return [key, parseValue(shape[key]!, inner, `${place}.${key}`)];
    }),
  );
}

function groupOf(value: unknown, place: string, example: string): Given {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UserError(`${place}: expected settings such as ${place}.${example}`);
  return value as Given;
}

function unknownSetting(key: string, known: readonly string[]): UserError {
  return new UserError(`unknown setting ${key}${didYouMean(key, known) || `; known are ${known.join(', ')}`}`);
}

/** Defaults overlaid with what `parseSettings` gave. */
export function overlay(defaults: TrainingConfig, parsed: ConfigInput): TrainingConfig {
  const { stages = {}, ...rest } = parsed as Partial<TrainingConfig>;
  const { replay, keep, kl } = defaults;
  return {
    ...defaults,
    ...rest,
    replay: { ...replay, ...rest.replay },
    keep: { ...keep, ...rest.keep },
    kl: { ...kl, ...rest.kl },
    stages: Object.fromEntries(
      Object.entries(defaults.stages).map(([name, stage]) => [name, { ...stage, ...stages[name] }]),
    ),
  };
}

/** What two lists of parsed settings say of stages together; the second wins. */
export function overlayStages(
  first: ConfigInput,
  second: ConfigInput,
): { stages: Record<string, Partial<StageConfig>> } {
  const of = (parsed: ConfigInput) => (parsed as { stages?: Record<string, Partial<StageConfig>> }).stages ?? {};
  const names = [...Object.keys(of(first)), ...Object.keys(of(second))];
  return { stages: Object.fromEntries(names.map((name) => [name, { ...of(first)[name], ...of(second)[name] }])) };
}

/** Every key that people may set, dotted; of stages those of `stage1` and `stage2`. */
export function configKeys(): string[] {
  const { stages, ...shape } = configSchema.shape;
  const keysOf = (schema: z.ZodType, name: string): string[] =>
    schema instanceof z.ZodObject ? Object.keys(schema.shape).map((inner) => `${name}.${inner}`) : [name];
  return [
    ...Object.entries(shape).flatMap(([name, schema]) => keysOf(schema, name)),
    ...paperStages.flatMap((name) => keysOf(stageSchema, name)),
  ];
}

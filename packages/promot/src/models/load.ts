// From a path to a model with its tokenizer: a Hugging Face folder or a GGUF file; and back to a Hugging Face folder.
import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type DType, tensor, writeSafetensors } from '@promot/torch';
import type { z } from 'zod';
import { UserError } from '../errors.js';
import { openGguf } from '../files/gguf-checkpoint.js';
import { writeText } from '../files/write.js';
import { tokenizerFromGguf } from '../tokenizer/gguf.js';
import { loadTokenizer } from '../tokenizer/load.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { type CheckpointTensor, openCheckpoint } from './checkpoint.js';
import { Llama, llamaConfig } from './llama.js';
import type { LanguageModel } from './model.js';
import { T5, t5Config } from './t5.js';
import { CheckpointWeights, type Weights } from './weights.js';

export interface LoadedModel {
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
}

/** Builds the architecture that a config.json names. Throws UserError for one that promot does not have, or a bad key. */
export function buildModel(config: Record<string, unknown>, weights: Weights, place: string): LanguageModel {
  const type = String(config.model_type);
  if (type === 't5' || type === 'mt5') return new T5(parseConfig(t5Config, config, place), weights);
  if (['llama', 'mistral', 'qwen2'].includes(type)) return new Llama(parseConfig(llamaConfig, config, place), weights);
  throw new UserError(`${place}: model_type "${type}" is not supported (known: t5, mt5, llama, mistral, qwen2)`);
}

function parseConfig<T extends z.ZodType>(schema: T, config: unknown, place: string): z.infer<T> {
  const parsed = schema.safeParse(config);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new UserError(`${place}: config.json: ${issue.path.join('.')}: ${issue.message}`);
}

/** Loads a model folder. GGUF files and run folders: see `openModel`. */
export function loadFolder(folder: string, dtype: DType): LoadedModel {
  const configPath = join(folder, 'config.json');
  if (!existsSync(configPath)) throw new UserError(`${folder}: no model there (config.json is missing)`);
  let config: Record<string, unknown>;
  try {
    config = JSON.parse(readFileSync(configPath, 'utf8')) as Record<string, unknown>;
  } catch {
    throw new UserError(`${configPath}: not JSON`);
  }
  const tokenizer = loadTokenizer(folder);
  const checkpoint = openCheckpoint(folder);
  try {
    const model = buildModel(
      withGenerationEnds(config, folder),
      new CheckpointWeights(folder, checkpoint.tensors, dtype),
      folder,
    );
    return { model, tokenizer };
  } finally {
    checkpoint.close();
  }
}

/** Loads a GGUF file of the Llama family, dequantized, with the tokenizer that it carries. */
export function loadGguf(path: string, dtype: DType): LoadedModel {
  const { config, tensors, metadata } = openGguf(path);
  const tokenizer = tokenizerFromGguf(metadata, path);
  const loadable = [...tensors].map(([name, { shape, read }]): [string, CheckpointTensor] => [
    name,
    { shape, load: () => tensor(read(), { shape }) },
  ]);
  return { model: buildModel(config, new CheckpointWeights(path, new Map(loadable), dtype), path), tokenizer };
}

/** generation_config.json may know more ids that end a sequence than config.json does (Llama 3's chat models). */
function withGenerationEnds(config: Record<string, unknown>, folder: string): Record<string, unknown> {
  const path = join(folder, 'generation_config.json');
  if (!existsSync(path)) return config;
  const ends = (JSON.parse(readFileSync(path, 'utf8')) as { eos_token_id?: number | number[] }).eos_token_id;
  return ends === undefined || ends === null ? config : { ...config, eos_token_id: ends };
}

/**
 * Writes a folder that Transformers loads with identical logits: config.json, model.safetensors, tokenizer files.
 * Every file is whole at any time; a folder that was there is overwritten file by file.
 */
export async function saveModel(folder: string, { model, tokenizer }: LoadedModel): Promise<void> {
  await mkdir(folder, { recursive: true });
  writeSafetensors(join(folder, 'model.safetensors'), model.parameters, { format: 'pt' });
  const [first] = model.parameters.values();
  await writeText(join(folder, 'config.json'), configText({ ...model.config(), dtype: first!.dtype }));
  for (const [name, content] of tokenizer.files()) await writeText(join(folder, name), content);
}

/** Keys whose values Transformers wants as Python floats: it refuses `"initializer_factor": 1`. */
const floatKeys = [
  'initializer_factor',
  'initializer_range',
  'layer_norm_epsilon',
  'rms_norm_eps',
  'dropout_rate',
  'classifier_dropout',
  'attention_dropout',
  'rope_theta',
  'factor',
  'low_freq_factor',
  'high_freq_factor',
  'attention_factor',
  'partial_rotary_factor',
  'beta_fast',
  'beta_slow',
];

/** config.json, with a fraction on every number that is a float; JavaScript itself writes 1.0 as 1. */
function configText(config: Record<string, unknown>): string {
  const whole = new RegExp(`^( *"(?:${floatKeys.join('|')})": -?\\d+)(,?)$`, 'gm');
  return `${JSON.stringify(config, null, 2).replace(whole, '$1.0$2')}\n`;
}

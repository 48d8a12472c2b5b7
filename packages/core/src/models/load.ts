// From a path to a model with its tokenizer: a Hugging Face folder or a GGUF file; and back to a Hugging Face folder.
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type DType, noGrad, scope, tensor, writeSafetensors } from '@promot/torch';
import { UserError } from '../base/errors.js';
import { readJsonObject } from '../base/json.js';
import { writeText } from '../base/write.js';
import { tokenizerFromGguf } from '../tokenizer/gguf.js';
import { loadTokenizer } from '../tokenizer/load.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { type CheckpointTensor, openCheckpoint } from './checkpoint.js';
import { openGguf } from './families/gguf.js';
import { families, familiesNear } from './families/index.js';
import type { LanguageModel } from './model.js';
import { CheckpointWeights, type Weights } from './weights.js';

export interface LoadedModel {
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
  /** Frees the model's parameters. The model cannot be used after it. */
  dispose(): void;
  /** For `using loaded = await openModel(...)`: the same as `dispose`. */
  [Symbol.dispose](): void;
}

/** A model and a tokenizer as one thing that can be freed. */
export function loadedModel(model: LanguageModel, tokenizer: Tokenizer): LoadedModel {
  const dispose = () => {
    for (const parameter of model.parameters.values()) parameter.dispose();
  };
  return { model, tokenizer, dispose, [Symbol.dispose]: dispose };
}

/**
 * A model with its tokenizer. A tokenizer may know more tokens than the model has rows, and harmlessly so as long as no text
 * holds them: encoding such a text throws UserError.
 */
function together(model: LanguageModel, tokenizer: Tokenizer, place: string): LoadedModel {
  const rows = model.shape.vocabularySize;
  if (tokenizer.vocabularySize <= rows) return loadedModel(model, tokenizer);
  const encode: Tokenizer['encode'] = (text, options) => {
    const ids = tokenizer.encode(text, options);
    const beyond = ids.find((id) => id >= rows);
    if (beyond === undefined) return ids;
    const token = tokenizer.decode([beyond], { specialTokens: true });
    throw new UserError(
      `${place}: the tokenizer has token ${beyond} ("${token}"), the model only ${rows} rows: they do not belong together`,
    );
  };
  const { vocabularySize, beginningOfSequence, endOfSequence, padding, sentinels } = tokenizer;
  const checked: Tokenizer = {
    ...{ vocabularySize, beginningOfSequence, endOfSequence, padding, sentinels, encode },
    decode: (ids, options) => tokenizer.decode(ids, options),
    idOf: (token) => tokenizer.idOf(token),
    files: () => tokenizer.files(),
  };
  return loadedModel(model, checked);
}

/**
 * Builds the architecture that a configuration (with config.json's keys) names. Throws UserError, which begins with `place`,
 * for an architecture that promot does not have and for a bad key.
 */
export function buildModel(config: Record<string, unknown>, weights: Weights, place: string): LanguageModel {
  try {
    return build(config, weights, place);
  } catch (error) {
    weights.dispose();
    throw error;
  }
}

function build(config: Record<string, unknown>, weights: Weights, place: string): LanguageModel {
  const name = config.model_type;
  if (name === undefined) throw new UserError(`${place}: model_type is missing`);
  const family = typeof name === 'string' ? families.find(name) : undefined;
  if (family) return family.build(config, weights, place);
  const known = familiesNear(String(name));
  throw new UserError(`${place}: model_type ${JSON.stringify(name)} is not a family that promot has (${known})`);
}

/** Loads a model folder. Throws UserError for what is missing, damaged or not supported. GGUF files, runs: see `openModel`. */
export function loadFolder(folder: string, dtype: DType): LoadedModel {
  const config = readJsonObject(folder, 'config.json');
  if (!config) throw new UserError(`${folder}: no model there (config.json is missing)`);
  const tokenizer = loadTokenizer(folder);
  const checkpoint = openCheckpoint(folder);
  try {
    const model = buildModel(
      withGenerationEnds(config, folder),
      new CheckpointWeights(folder, checkpoint.tensors, dtype),
      join(folder, 'config.json'),
    );
    return together(model, tokenizer, folder);
  } finally {
    checkpoint.close();
  }
}

/** Loads a GGUF file, dequantized, with the tokenizer that it carries. */
export function loadGguf(path: string, dtype: DType): LoadedModel {
  const { config, tensors, metadata } = openGguf(path);
  const tokenizer = tokenizerFromGguf(metadata, path);
  const loadable = [...tensors].map(([name, { shape, read }]): [string, CheckpointTensor] => [
    name,
    { shape, load: () => tensor(read(), { shape }) },
  ]);
  const model = buildModel(config, new CheckpointWeights(path, new Map(loadable), dtype), path);
  return together(model, tokenizer, path);
}

/** generation_config.json may know more ids that end a sequence than config.json does (Llama 3's chat models). */
function withGenerationEnds(config: Record<string, unknown>, folder: string): Record<string, unknown> {
  const ends = readJsonObject(folder, 'generation_config.json')?.eos_token_id;
  if (ends === undefined || ends === null) return config;
  if (![ends].flat().every((id) => Number.isInteger(id)))
    throw new UserError(
      `${join(folder, 'generation_config.json')}: eos_token_id is neither a token id nor a list of them`,
    );
  return { ...config, eos_token_id: ends };
}

/**
 * Writes a folder that Transformers loads with identical logits: config.json, model.safetensors, tokenizer files.
 * Every file is whole at any time; a folder that was there is overwritten file by file. With `dtype` the weights are rounded.
 */
export async function saveModel(
  folder: string,
  { model, tokenizer }: Pick<LoadedModel, 'model' | 'tokenizer'>,
  dtype?: DType,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const [first] = model.parameters.values();
  const stored = dtype ?? first!.dtype;
  noGrad(() =>
    scope(() => {
      const rounded = [...model.parameters].map(([name, parameter]) => [name, parameter.to(stored)] as const);
      writeSafetensors(join(folder, 'model.safetensors'), new Map(rounded), { format: 'pt' });
    }),
  );
  await writeText(join(folder, 'config.json'), configText({ ...model.config(), dtype: stored }));
  for (const [name, content] of tokenizer.files()) await writeText(join(folder, name), content);
}

/** As `saveModel`, whole or not at all, in a folder that is not there yet. */
export async function saveNewModel(folder: string, loaded: LoadedModel): Promise<void> {
  const temporary = `${resolve(folder)}.${process.pid}.tmp`;
  await mkdir(dirname(temporary), { recursive: true });
  try {
    await saveModel(temporary, loaded);
    await rename(temporary, folder);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
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

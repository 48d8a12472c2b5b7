// From a path to a model with its tokenizer: a Hugging Face folder or a GGUF file.
import { join } from 'node:path';
import { type DType, takeMemory } from '@promot/torch';
import { UserError } from '../base/errors.js';
import { readJsonObject } from '../base/json.js';
import { tokenizerFromGguf } from '../tokenizer/gguf.js';
import { loadTokenizer } from '../tokenizer/load.js';
import { type Tokenizer, tokenizerWith } from '../tokenizer/tokenizer.js';
import { type CheckpointTensor, openCheckpoint } from './checkpoint.js';
import type { Family } from './families/family.js';
import { openGguf } from './families/gguf.js';
import { families, familiesNear } from './families/index.js';
import { type KeptFiles, keptOf, readKeptFiles } from './kept-files.js';
import type { LanguageModel } from './model.js';
import { checkSizes } from './sizes.js';
import { hasImageParts } from './tensor-names.js';
import { CheckpointWeights, UnreadWeights, type Weights } from './weights.js';

export interface LoadedModel {
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
  /** What of the folder it came from stays when the model is saved elsewhere; absent for a model made from scratch. */
  readonly kept?: KeptFiles | undefined;
  /** Frees the model's parameters. The model cannot be used after it. */
  dispose(): void;
  /** For `using loaded = await openModel(...)`: the same as `dispose`. */
  [Symbol.dispose](): void;
}

/** A model and a tokenizer as one thing that can be freed. */
export function loadedModel(model: LanguageModel, tokenizer: Tokenizer, kept?: KeptFiles): LoadedModel {
  const dispose = () => {
    model.blocks.unread?.close();
    for (const parameter of model.parameters.values()) parameter.dispose();
  };
  return { model, tokenizer, kept, dispose, [Symbol.dispose]: dispose };
}

/**
 * A model with its tokenizer. A tokenizer may know more tokens than the model has rows, and harmlessly so as long as no
 * text holds them: encoding such a text throws UserError.
 */
function together(model: LanguageModel, tokenizer: Tokenizer, place: string, kept: KeptFiles): LoadedModel {
  const rows = model.shape.vocabularySize;
  if (tokenizer.vocabularySize <= rows) return loadedModel(model, tokenizer, kept);
  const encode: Tokenizer['encode'] = (text, options) => {
    const ids = tokenizer.encode(text, options);
    const beyond = ids.find((id) => id >= rows);
    if (beyond === undefined) return ids;
    const token = tokenizer.decode([beyond], { specialTokens: true });
    throw new UserError(
      `${place}: the tokenizer has token ${beyond} ("${token}"), the model only ${rows} rows: they do not belong ` +
        'together',
    );
  };
  return loadedModel(model, tokenizerWith(tokenizer, { encode }), kept);
}

/**
 * Builds the architecture that a configuration (with config.json's keys) names. Throws UserError, which begins with
 * `place`, for an architecture that promot does not have and for a bad key.
 */
export function buildModel(config: Record<string, unknown>, weights: Weights, place: string): LanguageModel {
  try {
    checkSizes(config, place);
    const model = familyOf(config, place).build(config, weights, place);
    if (weights instanceof CheckpointWeights) weights.checkAllTaken();
    if (weights instanceof UnreadWeights) model.blocks.unread = weights.unread;
    return model;
  } catch (error) {
    weights.dispose();
    throw error;
  }
}

/** The family of a config.json. Throws UserError, which begins with `place`, for one that promot does not have. */
export function familyOf(config: Readonly<Record<string, unknown>>, place: string): Family {
  const name = config.model_type;
  if (name === undefined) throw new UserError(`${place}: model_type is missing`);
  const family = typeof name === 'string' ? families.find(name) : undefined;
  if (family) return family;
  const known = familiesNear(String(name));
  throw new UserError(`${place}: model_type ${JSON.stringify(name)} is not a family that promot has (${known})`);
}

interface LoadOptions {
  /** Leaves the values of the parameters in the file (`Blocks.unread`). Default false. */
  readonly unread?: boolean;
  /** Hears what of the file the model does without. */
  readonly onNote?: (text: string) => void;
}

/**
 * Loads a model folder. Throws UserError for what is missing, damaged or not supported. GGUF files, runs: see
 * `openModel`.
 */
export function loadFolder(folder: string, dtype: DType, { unread = false, onNote }: LoadOptions = {}): LoadedModel {
  const config = readJsonObject(folder, 'config.json');
  if (!config) throw new UserError(`${folder}: no model there (config.json is missing)`);
  const { tensors, close } = openCheckpoint(folder);
  let loaded: LoadedModel | undefined;
  try {
    if (!unread) takeMemoryFor(tensors, dtype);
    const tokenizer = loadTokenizer(folder);
    const weights = weightsOf(folder, tensors, dtype, unread ? close : undefined);
    const model = buildModel(withGenerationEnds(config, folder), weights, join(folder, 'config.json'));
    loaded = together(model, tokenizer, folder, readKeptFiles(folder));
    if (hasImageParts(tensors.keys()))
      onNote?.(`${folder}: the part for images is not read, and a folder that promot saves is without it`);
    return loaded;
  } finally {
    if (!loaded?.model.blocks.unread) close();
  }
}

/** `close`: what closes the file once the values are read, where that is not now. */
function weightsOf(
  place: string,
  tensors: ReadonlyMap<string, CheckpointTensor>,
  dtype: DType,
  close: (() => void) | undefined,
): CheckpointWeights {
  return close ? new UnreadWeights(place, tensors, dtype, close) : new CheckpointWeights(place, tensors, dtype);
}

/** Memory for all tensors of a checkpoint comes while the tokenizer is made. */
function takeMemoryFor(tensors: ReadonlyMap<string, CheckpointTensor>, dtype: DType): void {
  takeMemory([...tensors.values()].map(({ shape }) => ({ shape, dtype })));
}

/** Loads a GGUF file, dequantized, with the tokenizer that it carries. */
export function loadGguf(path: string, dtype: DType, { unread = false }: LoadOptions = {}): LoadedModel {
  const { config, tensors, metadata, close } = openGguf(path);
  let loaded: LoadedModel | undefined;
  try {
    if (!unread) takeMemoryFor(tensors, dtype);
    const tokenizer = tokenizerFromGguf(metadata, path);
    const model = buildModel(config, weightsOf(path, tensors, dtype, unread ? close : undefined), path);
    loaded = together(model, tokenizer, path, keptOf(metadata));
    return loaded;
  } finally {
    if (!loaded?.model.blocks.unread) close();
  }
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

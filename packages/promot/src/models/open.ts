// What a person names as a model or a prompt: a Hugging Face folder, a GGUF file, a PEFT adapter, or a run folder.
import { existsSync, statSync } from 'node:fs';
import type { DType, Tensor } from '@promot/torch';
import { UserError } from '../errors.js';
import { isRun, RunFolder, readRun } from '../training/run-folder.js';
import { readPromptAdapter } from '../tuning/peft.js';
import { type LoadedModel, loadFolder, loadGguf } from './load.js';
import type { LanguageModel } from './model.js';

/** Loads a model by what a person calls it. A run that trained only a prompt stands for its base model. */
export async function openModel(path: string, dtype: DType): Promise<LoadedModel> {
  if (!existsSync(path)) throw new UserError(`${path}: no such model: name a folder, a GGUF file or a run folder`);
  if (statSync(path).isFile()) {
    if (!path.endsWith('.gguf')) throw new UserError(`${path}: a model is a folder or a .gguf file`);
    return loadGguf(path, dtype);
  }
  if (!isRun(path)) return loadFolder(path, dtype);
  const folder = new RunFolder(path);
  if (existsSync(folder.modelPath)) return loadFolder(folder.modelPath, dtype);
  const { method, model } = readRun(path);
  if (method !== 'prompt-tune')
    throw new UserError(`${path}: the run has no trained model yet: let it finish with --resume`);
  return openModel(model, dtype);
}

/** The soft prompt [P, E] of an adapter folder or a run. */
export function openPrompt(path: string, model: LanguageModel): Tensor {
  if (!isRun(path)) return readPromptAdapter(path, model);
  const folder = new RunFolder(path);
  if (!existsSync(folder.promptPath))
    throw new UserError(`${path}: the run has no soft prompt (method ${readRun(path).method})`);
  return readPromptAdapter(folder.promptPath, model);
}

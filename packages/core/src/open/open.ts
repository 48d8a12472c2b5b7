// What a person names as a model or a prompt: a Hugging Face folder or name, a GGUF file, a PEFT adapter, or a run
// folder.
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type DType, type Tensor, withDevice } from '@promot/torch';
import { adapterKind } from '../adapters/adapter-folder.js';
import { readLoraAdapter } from '../adapters/lora-adapter.js';
import { readPromptAdapter } from '../adapters/peft.js';
import { isRun, readRun } from '../artifacts/run-file.js';
import { RunFolder } from '../artifacts/run-folder.js';
import { UserError } from '../base/errors.js';
import type { HubOptions } from '../hub/settings.js';
import { methods, uses } from '../methods/index.js';
import { chooseDevice, type DeviceSetting } from '../models/device.js';
import { type LoadedModel, loadFolder, loadGguf } from '../models/load.js';
import type { LanguageModel } from '../models/model.js';
import { locateModel } from './locate.js';

export interface OpenOptions {
  /** Where the model goes. Default `auto`. */
  readonly device?: DeviceSetting;
  readonly hub?: HubOptions;
  /** Leaves the values of the parameters in the file, see `Blocks.unread`. Default false. */
  readonly unread?: boolean;
}

/**
 * Loads a model by what a person calls it: a folder, a GGUF file, a run folder, `lab`, or a name on the hub (downloaded
 * once). A run that trained only a prompt stands for its base model. The caller disposes the parameters. Errors: a
 * UserError for anything that is missing, damaged or not supported.
 *
 * @example const { model, tokenizer } = await openModel('google/mt5-small', 'float32');
 */
export async function openModel(name: string, dtype: DType, options: OpenOptions = {}): Promise<LoadedModel> {
  return open(name, dtype, options, new Set());
}

/** @param seen the runs on the way here: a run may stand for another, and damaged ones for each other. */
async function open(name: string, dtype: DType, options: OpenOptions, seen: Set<string>): Promise<LoadedModel> {
  const path = await locateModel(name, options.hub).catch((error: unknown) => {
    const run = [...seen].at(-1);
    if (run === undefined || !(error instanceof UserError)) throw error;
    throw new UserError(`${join(run, 'run.json')}: its model ${error.message}`, { code: error.code, cause: error });
  });
  const tell = options.hub?.onEvent ?? ((event: { text: string }) => process.emitWarning(event.text));
  const onNote = (text: string) => tell({ type: 'note', text });
  const on = <T>(load: () => T) => withDevice(chooseDevice(options.device), load);
  if (statSync(path).isFile()) {
    if (!path.endsWith('.gguf')) throw new UserError(`${path}: a model is a folder or a .gguf file`);
    return on(() => loadGguf(path, dtype, options));
  }
  if (!isRun(path)) return on(() => loadFolder(path, dtype, { ...options, onNote }));
  const folder = new RunFolder(path);
  if (existsSync(folder.modelPath)) return on(() => loadFolder(folder.modelPath, dtype, { ...options, onNote }));
  const { method, model } = readRun(path);
  if (methods.find(method)?.stages.some(({ trains }) => trains.includes('model')) ?? true)
    throw new UserError(`${path}: the run has no trained model yet: let it finish with --resume`);
  const real = realpathSync(path);
  if (seen.has(real)) throw new UserError(`${path}: run.json names the run itself as its model`);
  return open(model, dtype, options, seen.add(real));
}

/**
 * What a run or a PEFT folder adds to a model for its own task. A soft prompt [P, E] is returned, to be attached to
 * inputs; LoRA is attached to the model itself, for as long as the model is loaded. A run of several tasks has a prompt
 * for each, in RUN/prompts/TASK. Errors: a UserError for a path that has no adapter, has several, or one of another
 * model.
 */
export function openPrompt(path: string, model: LanguageModel): Tensor | undefined {
  const folder = adapterFolderOf(path);
  if (adapterKind(folder) === 'LORA') {
    readLoraAdapter(folder, model);
    return undefined;
  }
  return readPromptAdapter(folder, model);
}

/** The PEFT folder that `openPrompt` reads. Errors: a UserError for a path that has no adapter, or has several. */
export function adapterFolderOf(path: string): string {
  if (!existsSync(path)) throw new UserError(`${path}: no such adapter: name a PEFT adapter folder or a run folder`);
  if (!isRun(path)) return path;
  const run = new RunFolder(path);
  const { method, tasks } = readRun(path);
  if (tasks.length > 1) {
    const prompts = join(path, 'prompts');
    const folders = existsSync(prompts) ? readdirSync(prompts).map((name) => join(prompts, name)) : [];
    throw new UserError(
      folders.length > 0
        ? `${path}: the run has a soft prompt for each of its tasks: name one of them, ${folders.join(' or ')}`
        : `${path}: the run has no soft prompt (method ${method})`,
    );
  }
  if (existsSync(run.promptPath)) return run.promptPath;
  const known = methods.find(method);
  const removable = known !== undefined && uses(known, 'lora');
  if (existsSync(run.loraPath) && !removable)
    throw new UserError(`${path}: the run's model has LoRA in its weights: leave --prompt out`);
  if (!existsSync(run.loraPath)) throw new UserError(`${path}: the run has no soft prompt (method ${method})`);
  return run.loraPath;
}

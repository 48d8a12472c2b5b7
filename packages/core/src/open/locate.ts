// From what a person calls a model to where it lies: a path, a short name, or a name on the hub. Loads no libtorch.
import { existsSync } from 'node:fs';
import { reworded, UserError } from '../base/errors.js';
import { Registry } from '../base/registry.js';
import { hubModel } from '../hub/model-files.js';
import { isHubName } from '../hub/repository.js';
import type { HubOptions } from '../hub/settings.js';

/** A model that is called by a short name: one that a package ships. */
export interface NamedModel {
  readonly name: string;
  /** The folder that holds it. Errors: a UserError where this copy of the package lacks it. */
  readonly folder: () => string;
}

/** The models that have a short name. The library ships none; packages above add theirs. */
export const namedModels = new Registry<NamedModel>('built-in model');

/**
 * Adds a model that is then found by its name. Throws UserError where the name is taken.
 *
 * @example registerModel({ name: 'ours', folder: () => '/models/ours' });
 */
export function registerModel(model: NamedModel): void {
  namedModels.add(model);
}

/**
 * The path of a model's folder or file: `text` itself where it exists, the folder of a model that has a short name, and
 * for a name such as `google/mt5-small` the cached snapshot from the hub, which is downloaded first if need be. Errors:
 * a UserError where there is no such model; those of the hub.
 */
export async function locateModel(text: string, hub?: HubOptions): Promise<string> {
  const named = namedModels.find(text);
  if (named) return named.folder();
  if (existsSync(text)) return text;
  if (isHubName(text)) {
    return hubModel(text, hub).catch((error) => {
      // It may be a path with a slip in it.
      throw reworded(error, (message) => `${text}: no such folder or file, and on the hub: ${message}`);
    });
  }
  const names = ['a folder', 'a .gguf file', 'a run folder', ...namedModels.names().map((name) => `"${name}"`)];
  throw new UserError(`${text}: no such model: name ${names.join(', ')}, or OWNER/NAME on the Hugging Face hub`);
}

// From what a person calls a model to where it lies: a path, the built-in `lab`, or a name on the hub. Loads no libtorch.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type HubOptions, isHubName } from '../data/hub.js';
import { hubModel } from '../data/hub-source.js';
import { UserError } from '../errors.js';

/** The models that ship with the package; `lab` is the base of most, the others stand for the paper's other bases. */
export const labModelNames = ['lab', 'lab-small', 'lab-decoder'] as const;
export type LabModelName = (typeof labModelNames)[number];

/** The folder of a lab model that ships with the package. */
export function labModelFolder(name: LabModelName): string {
  return fileURLToPath(new URL(`../../lab/models/${name}`, import.meta.url));
}

/**
 * The path of a model's folder or file: `text` itself where it exists, the shipped folder for a lab model's name, and for a name such as
 * `google/mt5-small` the cached snapshot from the hub, which is downloaded first if need be.
 * Errors: a UserError where there is no such model; those of the hub.
 */
export async function locateModel(text: string, hub?: HubOptions): Promise<string> {
  const lab = labModelNames.find((name) => name === text);
  if (lab) {
    const folder = labModelFolder(lab);
    if (existsSync(folder)) return folder;
    throw new UserError(
      `the built-in model "${lab}" is not in this copy of promot: make one with \`promot pretrain --model ${lab} --out DIR\`, then name DIR`,
    );
  }
  if (existsSync(text)) return text;
  if (isHubName(text)) {
    return hubModel(text, hub).catch((error) => {
      // It may be a path with a slip in it.
      throw error instanceof UserError
        ? new UserError(`${text}: no such folder or file, and on the hub: ${error.message}`)
        : error;
    });
  }
  throw new UserError(
    `${text}: no such model: name a folder, a .gguf file, a run folder, "lab", or OWNER/NAME on the Hugging Face hub`,
  );
}

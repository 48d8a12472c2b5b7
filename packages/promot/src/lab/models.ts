// The lab's models, which ship with this package: their names and folders.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { UserError } from '@promot/core/errors';

/** `lab` is the base of most experiments; the others stand for the paper's other bases. */
export const labModelNames = ['lab', 'lab-small', 'lab-decoder'] as const;
export type LabModelName = (typeof labModelNames)[number];

/** The folder of a lab model. It may be absent in a copy of the package: see `presentLabModel`. */
export function labModelFolder(name: LabModelName): string {
  return fileURLToPath(new URL(`../../lab/models/${name}`, import.meta.url));
}

/** The folder of a lab model. Throws UserError, saying how to make the model, where this copy of promot lacks it. */
export function presentLabModel(name: LabModelName): string {
  const folder = labModelFolder(name);
  if (existsSync(folder)) return folder;
  throw new UserError(
    `the built-in model "${name}" is not in this copy of promot: make one with \`promot pretrain --model ${name} ` +
      '--out DIR`, then name DIR',
  );
}

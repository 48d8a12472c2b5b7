// The training methods by name.

import { UserError } from '../base/errors.js';
import { didYouMean } from '../base/nearest-name.js';
import { fineTune } from './fine-tune.js';
import { joint } from './joint.js';
import { lora } from './lora.js';
import { loraFirst } from './lora-first.js';
import type { Method } from './method.js';
import { promot } from './promot.js';
import { promptTune } from './prompt-tune.js';
import { randomPrompt } from './random-prompt.js';

export type { Method, Stage } from './method.js';
export const methods: readonly Method[] = [promot, fineTune, promptTune, joint, randomPrompt, lora, loraFirst];

/** The method of this name. Throws UserError with the nearest one for an unknown name. */
export function findMethod(name: string): Method {
  const found = methods.find((method) => method.name === name);
  const names = methods.map((method) => method.name);
  if (!found)
    throw new UserError(`unknown method "${name}"${didYouMean(name, names)}: the methods are ${names.join(', ')}`);
  return found;
}

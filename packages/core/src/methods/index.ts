// The training methods by name; `registerMethod` adds one.
import { UserError } from '../base/errors.js';
import { Registry } from '../base/registry.js';
import { fineTune } from './fine-tune.js';
import { joint } from './joint.js';
import { lora } from './lora.js';
import { loraFirst } from './lora-first.js';
import { type Method, stageNames } from './method.js';
import { promot } from './promot.js';
import { promptTune } from './prompt-tune.js';
import { randomPrompt } from './random-prompt.js';
import { parseSettings } from './settings.js';

export { type Adapter, adapterAtUse, has, type Method, type Part, type Stage, stageNames, uses } from './method.js';
export {
  type ConfigInput,
  configKeys,
  paperStages,
  parseSettings,
  type StageConfig,
  type TrainingConfig,
} from './settings.js';

export const methods = new Registry<Method>('method', [
  promot,
  fineTune,
  promptTune,
  joint,
  randomPrompt,
  lora,
  loraFirst,
]);

/** The method of this name. Throws UserError with the nearest one for an unknown name. */
export const findMethod = (name: string): Method => methods.get(name);

/**
 * Adds a method, to be named as `method` in a run. Throws UserError for one that cannot be run, or whose name is taken.
 *
 * @example
 * registerMethod({
 *   name: 'bare-first',
 *   summary: 'fine-tune a little without the prompt, then behind it',
 *   stages: [
 *     { name: 'prompt', settings: 'stage1', trains: ['prompt'] },
 *     { name: 'bare', settings: 'bare', trains: ['model'] },
 *     { name: 'model', settings: 'stage2', trains: ['model'], attaches: ['prompt'] },
 *   ],
 *   defaults: { stages: { bare: { steps: 100 } } },
 * });
 */
export function registerMethod(method: Method): void {
  const { name, stages } = method;
  if (stages.length === 0) throw new UserError(`method ${name} has no stage`);
  const seen = new Set<string>();
  for (const { name: stage, settings, trains } of stages) {
    // Names of files and of settings are made of them.
    for (const word of [stage, settings])
      if (!/^[a-z][a-z0-9-]*$/u.test(word))
        throw new UserError(`method ${name}: "${word}" is no name for a stage: use small letters, digits and "-"`);
    if (seen.has(stage)) throw new UserError(`method ${name} has two stages "${stage}"`);
    if (trains.length === 0) throw new UserError(`method ${name}: stage ${stage} trains nothing`);
    seen.add(stage);
  }
  if (method.defaults) parseSettings(method.defaults, stageNames(method));
  methods.add(method);
}

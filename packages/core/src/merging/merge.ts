// A LoRA adapter's additions put into a model's own weights: what comes out needs no adapter, and can no longer be
// without it.
import { existsSync } from 'node:fs';
import { adapterKind } from '../adapters/adapter-folder.js';
import { readLoraAdapter } from '../adapters/lora-adapter.js';
import { UserError } from '../base/errors.js';
import type { HubOptions } from '../hub/settings.js';
import { saveNewModel } from '../models/save.js';
import { adapterFolderOf, openModel } from '../open/open.js';

export interface MergeRequest {
  /** In any form that `openModel` takes. */
  readonly model: string;
  /** A PEFT LoRA folder, or a run with a LoRA that can be taken off (`lora-first`). */
  readonly adapter: string;
  /** The Hugging Face folder to make; it must not exist. */
  readonly out: string;
  /** Of the written weights. Default fp32: 16 bits would round small additions away. */
  readonly precision?: 'fp32' | 'bf16';
  readonly hub?: HubOptions;
}

export interface Merged {
  readonly out: string;
  /** Layers that had an addition. */
  readonly layers: number;
}

/**
 * Writes the model with W + scale * B A in the place of each weight W that the adapter adds to. Errors: a UserError for
 * a folder that exists, an adapter that is none, is a soft prompt, or is of another model. Nothing is left behind where
 * it fails.
 *
 * @example await mergeLora({ model: 'google/mt5-small', adapter: 'adapters/rte', out: 'models/rte' });
 */
export async function mergeLora({ model, adapter, out, precision, hub }: MergeRequest): Promise<Merged> {
  if (existsSync(out)) throw new UserError(`${out} exists already: name a folder that is to be made`);
  const folder = adapterFolderOf(adapter);
  if (adapterKind(folder) !== 'LORA')
    throw new UserError(
      `${adapter}: only LoRA can be merged; a soft prompt stands in front of the input, not in the weights`,
    );
  // Each weight is added to once: nothing for a GPU.
  const loaded = await openModel(model, precision === 'bf16' ? 'bfloat16' : 'float32', { device: 'cpu', hub });
  try {
    const lora = readLoraAdapter(folder, loaded.model);
    const layers = lora.layers().length;
    lora.merge();
    const card = { base: model, done: ['The additions of a LoRA adapter were added to the weights.'] };
    await saveNewModel(out, loaded, { card });
    return { out, layers };
  } finally {
    loaded.dispose();
  }
}

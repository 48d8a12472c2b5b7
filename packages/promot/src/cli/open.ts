// Opening the model and the soft prompt that a command names; what can be checked before libtorch is loaded, is.
import { existsSync } from 'node:fs';
import { UserError } from '@promot/core/base';
import type { DeviceSetting, LoadedModel } from '@promot/core/models';
import { locateModel } from '@promot/core/open';
import type { Tensor } from '@promot/torch';
import { observer } from './observe.js';
import type { Progress } from './progress.js';
import { useTorch } from './torch.js';

/** Errors: a UserError for a model or prompt that is not there. Downloads a model from the hub. */
export async function checkPlaces(model: string, prompt: string | undefined, progress: Progress): Promise<void> {
  if (prompt !== undefined && !existsSync(prompt))
    throw new UserError(`${prompt}: no such soft prompt: name a PEFT adapter folder or a run folder`);
  await locateModel(model, { onEvent: observer(progress) });
}

export async function openForUse(
  model: string,
  prompt: string | undefined,
  { precision, device }: { precision?: 'fp32' | 'bf16'; device?: DeviceSetting },
  progress: Progress,
): Promise<LoadedModel & { prompt: Tensor | undefined }> {
  await checkPlaces(model, prompt, progress);
  const { openModel, openPrompt } = await import('@promot/core/open');
  await useTorch();
  const hub = { onEvent: observer(progress) };
  const loaded = await openModel(model, precision === 'bf16' ? 'bfloat16' : 'float32', { device, hub });
  return { ...loaded, prompt: prompt === undefined ? undefined : openPrompt(prompt, loaded.model) };
}

// On which device promot works.
import { libtorch, setDefaultDevice } from '@promot/torch';
import { UserError } from './errors.js';

/** `auto`: CUDA where libtorch can use it, else the CPU. */
export type DeviceSetting = 'auto' | 'cpu' | 'cuda';

/**
 * Makes all models and other tensors from now on where the setting says, and gives that place's name; what there is stays
 * where it is. Throws UserError for `cuda` where there is none.
 */
export function useDevice(setting: DeviceSetting = 'auto'): 'cpu' | 'cuda' {
  const { cuda, version } = libtorch();
  if (setting === 'cuda' && !cuda)
    throw new UserError(
      `setting device: cuda cannot be had: libtorch ${version} finds no GPU that it can use (promot doctor says what is missing)`,
    );
  const device = setting === 'auto' ? (cuda ? 'cuda' : 'cpu') : setting;
  setDefaultDevice(device);
  return device;
}

// Which device a setting means on this machine, and what it can do.
import { libtorch } from '@promot/torch';
import { cpuFeatures } from '@promot/torch/setup';
import { UserError } from '../base/errors.js';

/** `auto`: CUDA where libtorch can use it, else the CPU. */
export type DeviceSetting = 'auto' | 'cpu' | 'cuda';

/** The device of a setting, for `withDevice`. Throws UserError for `cuda` where there is none. */
export function chooseDevice(setting: DeviceSetting = 'auto'): 'cpu' | 'cuda' {
  if (setting === 'cpu') return 'cpu';
  const { cuda, version } = libtorch();
  if (setting === 'cuda' && !cuda)
    throw new UserError(
      `setting device: cuda cannot be had: libtorch ${version} finds no GPU that it can use (promot doctor says ` +
        'what is missing)',
    );
  return cuda ? 'cuda' : 'cpu';
}

/** Whether the device of a setting multiplies in bf16 by itself: runs then do so, where nothing else is said. */
export async function multipliesBf16(setting?: DeviceSetting): Promise<boolean> {
  const { avx512Bf16, amxBf16, armBf16 } = await cpuFeatures();
  return chooseDevice(setting) === 'cuda' || avx512Bf16 || amxBf16 || armBf16;
}

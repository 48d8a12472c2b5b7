// The device on which tensors are made.
import { op } from './tensor.js';

/** `meta` tensors have a shape and no numbers. */
export type Device = 'cpu' | 'cuda' | `cuda:${number}` | 'meta';

let current: Device = 'cpu';

/** Where `tensor`, `zeros`, `randn`, ... make tensors. The CPU, until `setDefaultDevice` says otherwise. */
export function defaultDevice(): Device {
  return current;
}

/**
 * Makes all tensors from now on somewhere else, in the whole thread (torch.set_default_device); those that there are stay
 * where they are. Throws libtorch's Error where it has no such device.
 */
export function setDefaultDevice(device: Device): void {
  // CUDA is first asked for when a tensor is made there.
  op('aten::zeros', [0], 'float32', undefined, device).dispose();
  current = device;
}

// The device on which tensors are made: the CPU, or what the nearest `withDevice` around the call says.
import { AsyncLocalStorage } from 'node:async_hooks';
import { type Device, op } from './tensor.js';

const around = new AsyncLocalStorage<Device>();

/** Where `tensor`, `zeros`, `randn`, ... make tensors here. */
export function currentDevice(): Device {
  return around.getStore() ?? 'cpu';
}

/**
 * Runs `work`, and all that it awaits, with tensors made on this device (`with torch.device(...)` in PyTorch). Work
 * beside it is not touched, and tensors that exist stay where they are. Throws libtorch's Error where it has no such
 * device.
 *
 * @example
 * const table = withDevice('cuda', () => zeros([2, 3]));
 */
export function withDevice<T>(device: Device, work: () => T): T {
  if (device === currentDevice()) return work();
  // CUDA is first asked for when a tensor is made there.
  if (device !== 'cpu') op('aten::zeros', [0], 'float32', undefined, device).dispose();
  return around.run(device, work);
}

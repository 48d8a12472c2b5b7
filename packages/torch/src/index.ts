// libtorch for Node.js: everything that the package offers.
export { type AttendFromOneOptions, attendFromOne, type KeyPart, plainAttendFromOne } from './attend-from-one.js';
export { backward, grad, noGrad } from './autograd.js';
export {
  arange,
  fromBytes,
  full,
  ones,
  randn,
  type TensorOptions,
  tensor,
  uniform,
  zeros,
  zerosLike,
} from './creation.js';
export { currentDevice, withDevice } from './device.js';
export * as distributed from './distributed/index.js';
export { isOutOfMemory } from './errors.js';
export * from './functional.js';
export { Embedding, Linear, type LowRank, type Parameters, packsWeights, RMSNorm, withPackedWeights } from './nn.js';
export { Adafactor, type AdafactorOptions, type Pieces } from './optim/adafactor.js';
export { AdamW, type AdamWOptions } from './optim/adamw.js';
export { clipScale, gradientNorm, Optimizer } from './optim/optimizer.js';
export { Sgd, type SgdOptions } from './optim/sgd.js';
export {
  hasPackedAttention,
  mostPackedApart,
  type Packed,
  packedAttention,
  packedAttentionApart,
  packedPlaces,
} from './packed-attention.js';
export {
  formatProfile,
  inModule,
  type OperatorTime,
  type Profile,
  type ProfileOptions,
  startProfile,
} from './profile.js';
export { deriveSeed } from './random.js';
export { libtorch, takeMemory, threads, trimGrownMemory, trimMemory, tuneProcess } from './runtime.js';
export {
  FileFormatError,
  type LazyTensor,
  mapFile,
  mappedTensor,
  openSafetensors,
  type SafetensorsEntry,
  SafetensorsFile,
  writeSafetensors,
} from './safetensors.js';
export { keep, scope, watchTensors } from './scope.js';
export { type Argument, call, type Device, type DType, op, schema, Tensor } from './tensor.js';

// Making tensors on the current device: from numbers, constant, and random as a function of a seed.
import { currentDevice } from './device.js';
import { native } from './native.js';
import { type DType, op, Tensor } from './tensor.js';

/** A tensor of the CPU, moved to the current device. */
function placed(made: Tensor): Tensor {
  const device = currentDevice();
  if (device === 'cpu') return made;
  // From pinned memory a GPU copies while the program goes on. libtorch gives the memory to nobody else before it is
  // read.
  const from = device.startsWith('cuda') ? op('aten::pin_memory', made) : made;
  const there = op('aten::to.dtype_layout', from, undefined, undefined, device, undefined, true);
  for (const tensor of new Set([made, from])) tensor.dispose();
  return there;
}

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint8: Uint8Array,
} as const;

const dtypeOfArray = new Map<unknown, DType>([
  [Float32Array, 'float32'],
  [Float64Array, 'float64'],
  [BigInt64Array, 'int64'],
  [Int32Array, 'int32'],
  [Int16Array, 'int16'],
  [Int8Array, 'int8'],
  [Uint8Array, 'uint8'],
]);

export interface TensorOptions {
  /** Default float32 for plain numbers; the array's own type for typed arrays. */
  dtype?: DType;
  /** Default: one dimension with all elements. */
  shape?: readonly number[];
}

/** A tensor with a copy of the numbers, in row-major order. Throws where the shape does not hold them all. */
export function tensor(data: readonly number[] | NodeJS.TypedArray, options: TensorOptions = {}): Tensor {
  const shape = options.shape ?? [data.length];
  if (ArrayBuffer.isView(data)) {
    const own = dtypeOfArray.get(data.constructor);
    if (!own) throw new Error(`a ${data.constructor.name} cannot become a tensor`);
    const made = fromData(data, own, shape);
    return options.dtype && options.dtype !== own ? made.to(options.dtype) : made;
  }
  const dtype = options.dtype ?? 'float32';
  if (dtype === 'int64') return fromData(BigInt64Array.from(data, BigInt), dtype, shape);
  if (dtype === 'bool') return fromData(Uint8Array.from(data, Number), dtype, shape);
  if (dtype === 'bfloat16' || dtype === 'float16') return fromData(Float32Array.from(data), 'float32', shape).to(dtype);
  return fromData(arrays[dtype].from(data), dtype, shape);
}

function fromData(data: NodeJS.TypedArray, dtype: DType, shape: readonly number[]): Tensor {
  return placed(new Tensor(native.fromData(data, dtype, shape)));
}

/** A tensor over bytes that already have the element type's layout, such as a piece of a file. Copies once. */
export function fromBytes(bytes: Uint8Array, dtype: DType, shape: readonly number[]): Tensor {
  return fromData(bytes, dtype, shape);
}

export function zeros(shape: readonly number[], dtype: DType = 'float32'): Tensor {
  return op('aten::zeros', shape, dtype, undefined, currentDevice());
}

export function ones(shape: readonly number[], dtype: DType = 'float32'): Tensor {
  return op('aten::ones', shape, dtype, undefined, currentDevice());
}

export function full(shape: readonly number[], value: number, dtype: DType = 'float32'): Tensor {
  return op('aten::full', shape, value, dtype, undefined, currentDevice());
}

export function zerosLike(like: Tensor, dtype: DType = like.dtype): Tensor {
  return op('aten::zeros_like', like, dtype);
}

/** 0, 1, ..., end-1. */
export function arange(end: number, dtype: DType = 'int64'): Tensor {
  return op('aten::arange', end, dtype, undefined, currentDevice());
}

// Random numbers are drawn on the CPU and copied: every kind of device has a generator of its own, which makes other
// numbers of the same seed.

/** Standard normal numbers that depend on the seed alone. */
export function randn(shape: readonly number[], seed: number, dtype: DType = 'float32'): Tensor {
  return placed(op('aten::randn.generator', shape, seed, dtype));
}

/** Numbers uniform in [low, high) that depend on the seed alone. */
export function uniform(shape: readonly number[], low: number, high: number, seed: number): Tensor {
  const drawn = op('aten::rand.generator', shape, seed, 'float32')
    .mul_(high - low)
    .add_(low);
  return placed(drawn);
}

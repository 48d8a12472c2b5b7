// Tensor and its operators, under PyTorch's names. Every method is one ATen operator reached through the dispatcher;
// operators that have no method yet are reached with `call`.
import { sayingMemory } from './errors.js';
import { type Handle, native } from './native.js';
import { adopt, scope } from './scope.js';

export type DType =
  | 'float32'
  | 'bfloat16'
  | 'float16'
  | 'float64'
  | 'int64'
  | 'int32'
  | 'int16'
  | 'int8'
  | 'uint8'
  | 'bool';

/** Where a tensor's numbers are; `meta` tensors have a shape and no numbers. */
export type Device = 'cpu' | 'cuda' | `cuda:${number}` | 'meta';

/** What an operator takes: undefined stands for the schema's default, null for None. */
export type Argument =
  | Tensor
  | number
  | boolean
  | string
  | null
  | undefined
  | readonly (Tensor | number | boolean | null)[];

// Frees tensors that no scope owns and no one holds any more.
const abandoned = new FinalizationRegistry<Handle>((handle) => native.dispose(handle));

/** A libtorch tensor. It lives until its scope ends or `dispose` is called; any use after that throws. */
export class Tensor {
  readonly handle: Handle;
  #shape: readonly number[] | undefined;
  #dtype: DType | undefined;
  #device: Device | undefined;

  /** Takes over a handle of the addon. Use `tensor`, `zeros`, ... to make tensors. */
  constructor(handle: Handle) {
    this.handle = handle;
    if (!adopt(this)) this.guard();
  }

  /**
   * Lets the garbage collector free the tensor where no scope does.
   * @param hastens whether its memory makes V8 look for garbage the sooner; false where somebody will dispose it
   */
  guard(hastens = true): void {
    if (hastens) native.report(this.handle);
    abandoned.register(this, this.handle, this);
  }

  /** Frees the tensor now; autograd keeps what it saved. Safe to call twice. */
  dispose(): void {
    abandoned.unregister(this);
    native.dispose(this.handle);
  }

  get shape(): readonly number[] {
    this.#shape ??= native.shape(this.handle);
    return this.#shape;
  }
  get dtype(): DType {
    this.#dtype ??= native.dtype(this.handle) as DType;
    return this.#dtype;
  }
  get device(): Device {
    this.#device ??= native.device(this.handle) as Device;
    return this.#device;
  }
  get dim(): number {
    return this.shape.length;
  }
  /** The number of elements. */
  get numel(): number {
    return this.shape.reduce((product, side) => product * side, 1);
  }
  /** The length along one dimension, which may be counted from the end. */
  size(dim: number): number {
    const side = this.shape.at(dim);
    if (side === undefined) throw new Error(`dimension ${dim} of a tensor with ${this.dim} dimensions`);
    return side;
  }
  toString(): string {
    return `Tensor ${this.dtype}[${this.shape.join(',')}]`;
  }

  // --- out of the tensor ---

  /** The one element of a tensor, as a number. */
  item(): number {
    if (this.numel !== 1) throw new Error(`item() of ${this}: it has ${this.numel} elements`);
    return Number(this.toArray()[0]);
  }
  /** A copy of the elements in row-major order; bfloat16 and float16 as float32, bool as bytes. */
  toArray(): Float32Array | Float64Array | BigInt64Array | Int32Array | Int16Array | Int8Array | Uint8Array {
    switch (this.dtype) {
      case 'float32':
        return new Float32Array(native.toData(this.handle));
      case 'float64':
        return new Float64Array(native.toData(this.handle));
      case 'int64':
        return new BigInt64Array(native.toData(this.handle));
      case 'int32':
        return new Int32Array(native.toData(this.handle));
      case 'int16':
        return new Int16Array(native.toData(this.handle));
      case 'int8':
        return new Int8Array(native.toData(this.handle));
      case 'uint8':
      case 'bool':
        return new Uint8Array(native.toData(this.handle));
      default: {
        const wide = this.detach().to('float32');
        try {
          return new Float32Array(native.toData(wide.handle));
        } finally {
          wide.dispose();
        }
      }
    }
  }
  /** The elements as plain numbers in row-major order. */
  toNumbers(): number[] {
    return Array.from(this.toArray(), Number);
  }
  /** The bytes of the elements in row-major order, as they are. */
  toBytes(): Uint8Array {
    return new Uint8Array(native.toData(this.handle));
  }

  // --- autograd ---

  get requiresGrad(): boolean {
    return native.requiresGrad(this.handle);
  }
  set requiresGrad(on: boolean) {
    native.setRequiresGrad(this.handle, on);
  }
  /** The accumulated gradient, or undefined. */
  get grad(): Tensor | undefined {
    const handle = native.gradOf(this.handle);
    return handle === null ? undefined : new Tensor(handle);
  }
  /** Forgets the accumulated gradient. */
  clearGrad(): void {
    native.clearGrad(this.handle);
  }
  /** Accumulates gradients into the leaves. `gradient` is needed where the tensor is not a scalar. */
  backward(gradient?: Tensor, options: { retainGraph?: boolean } = {}): void {
    native.backward([this.handle], gradient ? [gradient.handle] : null, options.retainGraph ?? false);
  }
  detach(): Tensor {
    return op('aten::detach', this);
  }
  /** Another Tensor over the same storage and autograd history, owned by the current scope. */
  alias(): Tensor {
    return new Tensor(native.alias(this.handle));
  }

  // --- types, shapes, layout ---

  /** The tensor with another element type; itself where it has that type already. */
  to(dtype: DType): Tensor {
    return this.dtype === dtype ? this.alias() : op('aten::to.dtype', this, dtype);
  }
  /** A copy on another device, such as `cuda:0`. */
  toDevice(device: string): Tensor {
    return op('aten::to.dtype_layout', this, undefined, undefined, device);
  }
  float(): Tensor {
    return this.to('float32');
  }
  /** The same bytes seen as another element type. */
  viewDtype(dtype: DType): Tensor {
    return op('aten::view.dtype', this, dtype);
  }
  clone(): Tensor {
    return op('aten::clone', this);
  }
  contiguous(): Tensor {
    return op('aten::contiguous', this);
  }
  view(...shape: number[]): Tensor {
    return op('aten::view', this, shape);
  }
  reshape(...shape: number[]): Tensor {
    return op('aten::reshape', this, shape);
  }
  expand(...shape: number[]): Tensor {
    return op('aten::expand', this, shape);
  }
  transpose(first: number, second: number): Tensor {
    return op('aten::transpose.int', this, first, second);
  }
  permute(...dims: number[]): Tensor {
    return op('aten::permute', this, dims);
  }
  unsqueeze(dim: number): Tensor {
    return op('aten::unsqueeze', this, dim);
  }
  squeeze(dim: number): Tensor {
    return op('aten::squeeze.dim', this, dim);
  }
  /** `length` places from `start` along `dim`, as a view. */
  narrow(dim: number, start: number, length: number): Tensor {
    return op('aten::narrow', this, dim, start, length);
  }
  /** One place along `dim`, as a view without that dimension. */
  select(dim: number, index: number): Tensor {
    return op('aten::select.int', this, dim, index);
  }
  /**
   * A view by shape and strides. The offset counts from the start of the storage, not of this tensor; default: this
   * tensor's own.
   */
  asStrided(shape: readonly number[], strides: readonly number[], offset?: number): Tensor {
    return op('aten::as_strided', this, shape, strides, offset);
  }
  split(size: number, dim = 0): Tensor[] {
    return call('aten::split.Tensor', this, size, dim) as Tensor[];
  }
  repeatInterleave(repeats: number, dim: number): Tensor {
    return op('aten::repeat_interleave.self_int', this, repeats, dim);
  }
  flip(...dims: number[]): Tensor {
    return op('aten::flip', this, dims);
  }

  // --- picking and placing ---

  indexSelect(dim: number, index: Tensor): Tensor {
    return op('aten::index_select', this, dim, index);
  }
  gather(dim: number, index: Tensor): Tensor {
    return op('aten::gather', this, dim, index);
  }
  maskedFill(mask: Tensor, value: number): Tensor {
    return op('aten::masked_fill.Scalar', this, mask, value);
  }
  where(condition: Tensor, other: Tensor): Tensor {
    return op('aten::where.self', condition, this, other);
  }
  /** Writes `source` along `dim` at the places of `index`, in place. */
  indexCopy_(dim: number, index: Tensor, source: Tensor): this {
    return this.#inPlace('aten::index_copy_', dim, index, source);
  }
  nonzero(): Tensor {
    return op('aten::nonzero', this);
  }

  // --- arithmetic ---

  add(other: Tensor | number, alpha = 1): Tensor {
    return typeof other === 'number'
      ? op('aten::add.Scalar', this, other, alpha)
      : op('aten::add.Tensor', this, other, alpha);
  }
  sub(other: Tensor | number, alpha = 1): Tensor {
    return typeof other === 'number'
      ? op('aten::sub.Scalar', this, other, alpha)
      : op('aten::sub.Tensor', this, other, alpha);
  }
  mul(other: Tensor | number): Tensor {
    return typeof other === 'number' ? op('aten::mul.Scalar', this, other) : op('aten::mul.Tensor', this, other);
  }
  div(other: Tensor | number): Tensor {
    return typeof other === 'number' ? op('aten::div.Scalar', this, other) : op('aten::div.Tensor', this, other);
  }
  /** Division rounded towards minus infinity. */
  floorDivide(other: number): Tensor {
    return op('aten::div.Scalar_mode', this, other, 'floor');
  }
  remainder(other: number): Tensor {
    return op('aten::remainder.Scalar', this, other);
  }
  neg(): Tensor {
    return op('aten::neg', this);
  }
  abs(): Tensor {
    return op('aten::abs', this);
  }
  pow(exponent: number): Tensor {
    return op('aten::pow.Tensor_Scalar', this, exponent);
  }
  square(): Tensor {
    return op('aten::square', this);
  }
  sqrt(): Tensor {
    return op('aten::sqrt', this);
  }
  rsqrt(): Tensor {
    return op('aten::rsqrt', this);
  }
  exp(): Tensor {
    return op('aten::exp', this);
  }
  log(): Tensor {
    return op('aten::log', this);
  }
  sin(): Tensor {
    return op('aten::sin', this);
  }
  cos(): Tensor {
    return op('aten::cos', this);
  }
  relu(): Tensor {
    return op('aten::relu', this);
  }
  /** `tanh` is the approximation that T5.1.1 calls gelu_new. */
  gelu(approximate: 'none' | 'tanh' = 'none'): Tensor {
    return op('aten::gelu', this, approximate);
  }
  silu(): Tensor {
    return op('aten::silu', this);
  }
  clamp(min: number | null, max: number | null = null): Tensor {
    return op('aten::clamp', this, min, max);
  }
  minimum(other: Tensor): Tensor {
    return op('aten::minimum', this, other);
  }
  maximum(other: Tensor): Tensor {
    return op('aten::maximum', this, other);
  }
  matmul(other: Tensor): Tensor {
    return isSlowBf16(this) ? inFloat(this, (x) => x.matmul(other.float())) : op('aten::matmul', this, other);
  }
  /** Batched product: [N, I, K] x [N, K, J] -> [N, I, J]. */
  bmm(other: Tensor): Tensor {
    return isSlowBf16(this) ? inFloat(this, (x) => x.bmm(other.float())) : op('aten::bmm', this, other);
  }

  // --- comparisons and logic ---

  eq(other: Tensor | number): Tensor {
    return typeof other === 'number' ? op('aten::eq.Scalar', this, other) : op('aten::eq.Tensor', this, other);
  }
  ne(other: Tensor | number): Tensor {
    return typeof other === 'number' ? op('aten::ne.Scalar', this, other) : op('aten::ne.Tensor', this, other);
  }
  lt(other: Tensor | number): Tensor {
    return typeof other === 'number' ? op('aten::lt.Scalar', this, other) : op('aten::lt.Tensor', this, other);
  }
  le(other: Tensor | number): Tensor {
    return typeof other === 'number' ? op('aten::le.Scalar', this, other) : op('aten::le.Tensor', this, other);
  }
  gt(other: Tensor | number): Tensor {
    return typeof other === 'number' ? op('aten::gt.Scalar', this, other) : op('aten::gt.Tensor', this, other);
  }
  ge(other: Tensor | number): Tensor {
    return typeof other === 'number' ? op('aten::ge.Scalar', this, other) : op('aten::ge.Tensor', this, other);
  }
  logicalNot(): Tensor {
    return op('aten::logical_not', this);
  }
  logicalAnd(other: Tensor): Tensor {
    return op('aten::logical_and', this, other);
  }
  logicalOr(other: Tensor): Tensor {
    return op('aten::logical_or', this, other);
  }
  /** True where every element is equal, shapes and bits included. */
  equal(other: Tensor): boolean {
    return call('aten::equal', this, other) as boolean;
  }

  // --- reductions ---

  sum(dim?: number | readonly number[], keepDim = false): Tensor {
    return dim === undefined ? op('aten::sum', this) : op('aten::sum.dim_IntList', this, dims(dim), keepDim);
  }
  mean(dim?: number | readonly number[], keepDim = false): Tensor {
    return dim === undefined ? op('aten::mean', this) : op('aten::mean.dim', this, dims(dim), keepDim);
  }
  /** The largest element, or the largest along `dim` (values only). */
  amax(dim: number | readonly number[] = [], keepDim = false): Tensor {
    return op('aten::amax', this, dims(dim), keepDim);
  }
  argmax(dim: number): Tensor {
    return op('aten::argmax', this, dim);
  }
  logsumexp(dim: number, keepDim = false): Tensor {
    return op('aten::logsumexp', this, [dim], keepDim);
  }
  /** Euclidean norm over all elements, or along `dim`. */
  norm(dim?: number | readonly number[], keepDim = false): Tensor {
    return op('aten::linalg_vector_norm', this, 2, dim === undefined ? null : dims(dim), keepDim);
  }
  cumsum(dim: number): Tensor {
    return op('aten::cumsum', this, dim);
  }
  topk(k: number, dim = -1): { values: Tensor; indices: Tensor } {
    const [values, indices] = call('aten::topk', this, k, dim) as [Tensor, Tensor];
    return { values, indices };
  }
  /** A stable sort along `dim`. */
  sort(dim = -1, descending = false): { values: Tensor; indices: Tensor } {
    const [values, indices] = call('aten::sort.stable', this, true, dim, descending) as [Tensor, Tensor];
    return { values, indices };
  }
  softmax(dim: number): Tensor {
    return op('aten::softmax.int', this, dim);
  }
  logSoftmax(dim: number): Tensor {
    return op('aten::log_softmax.int', this, dim);
  }

  // --- in place ---

  /** Copies elements (broadcast, converted) into this tensor. */
  copy_(source: Tensor): this {
    return this.#inPlace('aten::copy_', source);
  }
  fill_(value: number): this {
    return this.#inPlace('aten::fill_.Scalar', value);
  }
  zero_(): this {
    return this.#inPlace('aten::zero_');
  }
  add_(other: Tensor | number, alpha = 1): this {
    return typeof other === 'number'
      ? this.#inPlace('aten::add_.Scalar', other, alpha)
      : this.#inPlace('aten::add_.Tensor', other, alpha);
  }
  mul_(other: Tensor | number): this {
    return typeof other === 'number'
      ? this.#inPlace('aten::mul_.Scalar', other)
      : this.#inPlace('aten::mul_.Tensor', other);
  }
  div_(other: Tensor | number): this {
    return typeof other === 'number'
      ? this.#inPlace('aten::div_.Scalar', other)
      : this.#inPlace('aten::div_.Tensor', other);
  }
  sqrt_(): this {
    return this.#inPlace('aten::sqrt_');
  }
  /** this + value * first * second */
  addcmul_(first: Tensor, second: Tensor, value = 1): this {
    return this.#inPlace('aten::addcmul_', first, second, value);
  }
  /** this + value * first / second */
  addcdiv_(first: Tensor, second: Tensor, value = 1): this {
    return this.#inPlace('aten::addcdiv_', first, second, value);
  }
  /** this + weight * (end - this) */
  lerp_(end: Tensor, weight: number): this {
    return this.#inPlace('aten::lerp_.Scalar', end, weight);
  }

  #inPlace(operator: string, ...args: Argument[]): this {
    // The operator returns this very tensor, which the addon leaves out.
    call(operator, this, ...args);
    return this;
  }
}

const operators = new Map<string, number>();

/**
 * Calls any operator by its full name, arguments in the order of its schema (`schema(name)` prints it).
 * Element types are named by strings; a whole number stands for a generator with that seed.
 * Throws an Error that names the operator, the shapes and libtorch's own message.
 *
 * @example const [values, indices] = call('aten::topk', x, 5, -1) as [Tensor, Tensor];
 */
export function call(name: string, ...args: Argument[]): unknown {
  let operator = operators.get(name);
  if (operator === undefined) {
    operator = native.findOperator(name);
    operators.set(name, operator);
  }
  try {
    return wrap(native.callOperator(operator, ...args.map(unwrap)));
  } catch (error) {
    throw sayingMemory(error);
  }
}

/** `call` for the many operators that give one tensor. */
export function op(name: string, ...args: Argument[]): Tensor {
  return call(name, ...args) as Tensor;
}

/** An operator's schema, as libtorch prints it. */
export function schema(name: string): string {
  return native.schemaOf(native.findOperator(name));
}

function unwrap(arg: Argument): unknown {
  if (arg instanceof Tensor) return arg.handle;
  if (Array.isArray(arg)) return arg.map((item) => (item instanceof Tensor ? item.handle : item));
  return arg;
}

function wrap(result: unknown): unknown {
  if (typeof result === 'bigint') return new Tensor(result);
  if (Array.isArray(result)) return result.map(wrap);
  return result;
}

function dims(dim: number | readonly number[]): readonly number[] {
  return typeof dim === 'number' ? [dim] : dim;
}

let multiplies: boolean | undefined;

/**
 * Whether x holds bfloat16 numbers that the processor does not multiply by itself. Their products are made of float32
 * numbers and rounded once: libtorch's own take about ten times as long (docs/benchmarks.md).
 */
export function isSlowBf16(x: Tensor): boolean {
  if (x.dtype !== 'bfloat16' || x.device !== 'cpu') return false;
  multiplies ??= call('mkldnn::_is_mkldnn_bf16_supported') as boolean;
  return !multiplies;
}

/** What `make` makes of x as float32, rounded to x's type. */
export function inFloat(x: Tensor, make: (x: Tensor) => Tensor): Tensor {
  return scope(() => make(x.float()).to(x.dtype));
}

/** Whether the addon's kernels for this type can take them. */
export function isOnKernels(tensors: readonly Tensor[], dtype: DType): boolean {
  return tensors.every((t) => t.dtype === dtype && t.device === 'cpu');
}

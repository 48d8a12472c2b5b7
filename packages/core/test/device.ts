// For tests of placement on a machine without a GPU: models are loaded on libtorch's `meta` device, which has shapes
// and no numbers, and every operator is looked at. (libtorch itself is of little help: a product of a meta matrix and a
// CPU one passes.) Where numbers are read, they are zeros.
import { vi } from 'vitest';
import { type Handle, native } from '../../torch/src/native.js';

/** They carry numbers from one device to another: that is their work. */
const crossers = ['aten::copy_', 'aten::to.dtype_layout'];

type Call = (name: string, ...args: unknown[]) => unknown;

/** The tensors among an operator's arguments. */
const handlesIn = (args: readonly unknown[]): Handle[] => args.flat().filter((arg) => typeof arg === 'bigint');

/** libtorch has no meta kernel for these; others with the same shapes (and any numbers) stand in for them. */
const standIns: Readonly<Record<string, (call: Call, ...args: never[]) => unknown>> = {
  'aten::embedding': (call, weight: Handle, ids: Handle) => call('aten::index.Tensor', weight, [ids]),
  'aten::index_select': (call, x: Handle, dim: number, index: Handle) =>
    call('aten::index.Tensor', x, [...Array.from({ length: dim }, () => null), index]),
  // libtorch has no meta kernel of it either, and it returns nothing.
  'aten::_fused_adamw_': () => [],
  'aten::logical_not': (call, x: Handle) => call('aten::bitwise_not', x),
  'aten::logical_and': (call, x: Handle, y: Handle) => call('aten::bitwise_and.Tensor', x, y),
  'aten::logsumexp': (call, x: Handle, dims: number[], keepDim: boolean) =>
    call('aten::sum.dim_IntList', x, dims, keepDim),
  // Of shapes alone; another test looks at the numbers.
  'aten::_flash_attention_forward': (call, q: Handle, k: Handle, v: Handle) => [
    call('aten::add.Tensor', q, call('aten::add.Tensor', call('aten::sum', k), call('aten::sum', v))),
  ],
  'aten::scaled_dot_product_attention': attention,
  'promot::attention': attention,
};

function attention(call: Call, q: Handle, k: Handle, v: Handle, mask: Handle | null): unknown {
  const scores = call('aten::matmul', q, call('aten::transpose.int', k, -2, -1));
  const masked = mask === null ? scores : call('aten::add.Tensor', scores, mask);
  return call('aten::matmul', call('aten::softmax.int', masked, -1), v);
}

export interface Watch {
  /** How often each operator was called. */
  readonly calls: ReadonlyMap<string, number>;
  /** Calls whose tensors were of two devices. */
  readonly strays: readonly string[];
  /** How often numbers were read from the meta device: a GPU would have had to finish all its work each time. */
  reads: number;
  stop(): void;
}

/** Watches every operator until `stop`. Make what is watched with `withDevice('meta', ...)`. */
export function watchOnMeta(): Watch {
  const names = new Map<number, string>();
  const calls = new Map<string, number>();
  const strays: string[] = [];
  const plain = native.callOperator;
  const call: Call = (name, ...args) => plain(native.findOperator(name), ...args);
  const spy = vi.spyOn(native, 'callOperator').mockImplementation((operator, ...args) => {
    let name = names.get(operator);
    if (name === undefined) {
      name = native.schemaOf(operator).split('(')[0]!;
      names.set(operator, name);
    }
    calls.set(name, (calls.get(name) ?? 0) + 1);
    const devices = handlesIn(args).map((handle) => native.device(handle));
    if (!crossers.includes(name) && new Set(devices).size > 1) strays.push(`${name}(${devices})`);
    const standIn = standIns[name];
    return standIn ? standIn(call, ...(args as never[])) : plain(operator, ...args);
  });
  const toData = native.toData;
  const reader = vi.spyOn(native, 'toData').mockImplementation((tensor) => {
    if (native.device(tensor) !== 'meta') return toData(tensor);
    watch.reads++;
    return toData(call('aten::zeros', native.shape(tensor), native.dtype(tensor)) as Handle);
  });
  const watch: Watch = {
    calls,
    strays,
    reads: 0,
    stop: () => {
      spy.mockRestore();
      reader.mockRestore();
    },
  };
  return watch;
}

// The addon, loaded once per thread, when it is first used.
import { createRequire } from 'node:module';
import { SetupError } from './setup/errors.js';
import { readStamp } from './setup/stamp.js';

/** A handle of the addon's tensor table. */
export type Handle = bigint;

/** The addon's entry points; native/addon.cc says what each does. */
interface Native {
  findOperator(name: string): number;
  schemaOf(operator: number): string;
  callOperator(operator: number, ...args: unknown[]): unknown;
  fromData(data: NodeJS.TypedArray, dtype: string, shape: readonly number[]): Handle;
  toData(tensor: Handle): ArrayBuffer;
  shape(tensor: Handle): number[];
  dtype(tensor: Handle): string;
  device(tensor: Handle): string;
  alias(tensor: Handle): Handle;
  dispose(tensor: Handle): boolean;
  report(tensor: Handle): void;
  giveBack(tensor: Handle, packed: Handle): boolean;
  standIn(tensor: Handle): Handle | null;
  newestTensor(): Handle;
  liveTensors(after: Handle): number;
  requiresGrad(tensor: Handle): boolean;
  setRequiresGrad(tensor: Handle, on: boolean): void;
  gradOf(tensor: Handle): Handle | null;
  clearGrad(tensor: Handle): void;
  backward(tensors: Handle[], gradients: Handle[] | null, retainGraph: boolean): void;
  grad(outputs: Handle[], inputs: Handle[], gradients: Handle[] | null, retainGraph: boolean): (Handle | null)[];
  setGradEnabled(on: boolean): boolean;
  threads(count?: number): number;
  trimMemory(): void;
  startProfile(withShapes: boolean, processor: boolean): void;
  stopProfile(): { seconds: number; rows: [name: string, calls: number, seconds: number, module: string][] };
  enterModule(name: string): void;
  leaveModule(): void;
  keepFreedMemory(): void;
  takeMemory(bytes: number): void;
  build(): { version: string; cpuCapability: string; cuda: boolean };
  distributedBackends: { gloo: boolean; nccl: boolean };
  openStore(host: string, port: number, server: boolean, prefix: string, ms: number, key: string): Promise<void>;
  note(text: string): void;
  storeSet(key: string, value: string): Promise<void>;
  storeAdd(key: string, amount: number): Promise<number>;
  storeCheck(keys: readonly string[]): Promise<boolean>;
  storeGet(keys: readonly string[]): Promise<string[]>;
  openGroup(
    ...args: [name: string, rank: number, size: number, ms: number, interface_: string, address: string, cuda: number]
  ): Promise<void>;
  waitTensors(tensors: readonly Handle[]): Promise<void>;
  closeGroup(storeToo: boolean): Promise<void>;
}

const entries = {} as Native;

/** Loads the addon that set-up has made. Throws SetupError, which says how to set up, where there is none. */
function load(): Native {
  const stamp = readStamp();
  if (!stamp) {
    throw new SetupError(
      'libtorch is not set up on this machine: run `npx promot doctor --setup`, or call `await ' +
        'ensureAddon()` of @promot/torch/setup.',
    );
  }
  return createRequire(import.meta.url)(stamp.addon) as Native;
}

/** The addon. Importing this file does nothing: the addon is loaded when one of its functions is first asked for. */
export const native: Native = Object.setPrototypeOf(
  entries,
  new Proxy(
    {},
    { get: (_, name) => (typeof name === 'string' ? Object.assign(entries, load())[name as never] : undefined) },
  ),
);

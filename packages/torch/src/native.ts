// The addon, loaded once per thread. Set-up (finding libtorch, compiling) happens here at the first import.
import { createRequire } from 'node:module';
import { ensureAddon } from './setup/index.js';

/** A handle of the addon's tensor table. */
export type Handle = bigint;

/** The addon's entry points; native/addon.cc says what each does. */
export interface Native {
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
  liveTensors(): number;
  requiresGrad(tensor: Handle): boolean;
  setRequiresGrad(tensor: Handle, on: boolean): void;
  gradOf(tensor: Handle): Handle | null;
  clearGrad(tensor: Handle): void;
  backward(tensors: Handle[], gradients: Handle[] | null, retainGraph: boolean): void;
  grad(outputs: Handle[], inputs: Handle[], gradients: Handle[] | null, retainGraph: boolean): (Handle | null)[];
  setGradEnabled(on: boolean): boolean;
  threads(count?: number): number;
  trimMemory(): void;
  startProfile(withShapes: boolean): void;
  stopProfile(): [name: string, calls: number, seconds: number][];
  build(): { version: string; cpuCapability: string; cuda: boolean };
}

// OpenMP's threads spin while they wait, unless told otherwise before they start. On a machine with anything else to do that
// makes a step up to ten times slower; sleeping costs some microseconds an operator. Set to `active` where nothing else runs.
process.env.OMP_WAIT_POLICY ??= 'passive';

export const native = createRequire(import.meta.url)(await ensureAddon()) as Native;

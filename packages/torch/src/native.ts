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
  build(): { version: string; cpuCapability: string; cuda: boolean };
}

export const native = createRequire(import.meta.url)(await ensureAddon()) as Native;

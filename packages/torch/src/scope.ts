// Who frees tensors: a scope frees every tensor made inside it that it does not return. The garbage collector is only a
// safety net for tensors made outside any scope.
import { AsyncLocalStorage } from 'node:async_hooks';
import { native } from './native.js';

/** What a scope owns: tensors. */
interface Owned {
  dispose(): void;
  /** Lets the garbage collector free it where no scope does. */
  guard(hastens?: boolean): void;
}

interface Scope {
  readonly tensors: Set<Owned>;
  readonly parent: Scope | undefined;
}

// Follows asynchronous functions, so that two of them may have scopes open at the same time.
const current = new AsyncLocalStorage<Scope | undefined>();

/** Called by the Tensor constructor: the innermost open scope owns it; returns false where there is none. */
export function adopt(tensor: Owned): boolean {
  const scope = current.getStore();
  scope?.tensors.add(tensor);
  return scope !== undefined;
}

/**
 * Runs `body` and frees every tensor made in it, except those in its result (a tensor, or arrays, plain objects and
 * maps of them), which pass to the scope around it. Works for functions that return a promise; frees on errors too.
 *
 * @example const loss = scope(() => logits.float().logSoftmax(-1).neg().mean());
 */
export function scope<T>(body: () => T): T {
  const parent = current.getStore();
  const own: Scope = { tensors: new Set(), parent };
  const close = (result?: unknown) => {
    const kept = new Set<Owned>();
    collect(result, own.tensors, kept);
    for (const tensor of own.tensors) {
      if (!kept.has(tensor)) tensor.dispose();
      else if (parent) parent.tensors.add(tensor);
      else tensor.guard();
    }
  };
  let result: T;
  try {
    result = current.run(own, body);
  } catch (error) {
    close();
    throw error;
  }
  if (result instanceof Promise) {
    return result.then(
      (value) => {
        close(value);
        return value;
      },
      (error) => {
        close();
        throw error;
      },
    ) as T;
  }
  close(result);
  return result;
}

/** Takes a tensor out of all open scopes: it lives until `dispose`. For parameters and optimizer state. */
export function keep<T extends Owned>(tensor: T): T {
  for (let scope = current.getStore(); scope; scope = scope.parent) scope.tensors.delete(tensor);
  // To load a model would collect all garbage for each 64 MB of its weights.
  tensor.guard(false);
  return tensor;
}

/**
 * Looks for leaks: the function it returns says how many tensors made since in this thread are still there. Tensors
 * from before do not count, since the garbage collector may free abandoned ones among them at any moment.
 *
 * @example
 * const left = watchTensors();
 * scope(() => tensor([1]).add(1).item());
 * left(); // 0
 */
export function watchTensors(): () => number {
  const newest = native.newestTensor();
  return () => native.liveTensors(newest);
}

/**
 * Which of `owned` stand in arrays, maps and plain objects; other objects are not walked (they may hold anything,
 * themselves included).
 */
function collect(value: unknown, owned: ReadonlySet<Owned>, into: Set<Owned>): void {
  if (value === null || typeof value !== 'object') return;
  if (owned.has(value as Owned)) into.add(value as Owned);
  else if (Array.isArray(value)) for (const item of value) collect(item, owned, into);
  else if (value instanceof Map) for (const item of value.values()) collect(item, owned, into);
  else if (Object.getPrototypeOf(value) === Object.prototype)
    for (const item of Object.values(value)) collect(item, owned, into);
}

// Small facts that ranks leave for each other: c10d's TCPStore. Waiting asks again and again, so a request never holds
// another up.
import { native } from '../native.js';
import { DistributedError } from './ranks.js';

/**
 * Keys and texts that all ranks see (torch.distributed.Store).
 *
 * @example if (rank === 0) await store.set('folder', folder); else folder = await store.get('folder');
 */
export class Store {
  /**
   * @param seconds the longest that `get` and `wait` wait
   * @param request the longest that the store may take for an answer: a cable that was cut says nothing
   */
  constructor(
    readonly seconds: number,
    readonly request = seconds,
  ) {}

  async set(key: string, value: string): Promise<void> {
    await within(this.request, `writing ${key}`, native.storeSet(key, value));
  }
  /** Waits until the key is there. */
  async get(key: string): Promise<string> {
    const [value = ''] = await this.getAll([key]);
    return value;
  }
  async getAll(keys: readonly string[], missing?: Missing): Promise<string[]> {
    await this.wait(keys, missing);
    return within(this.request, `reading ${keys[0]}`, native.storeGet(keys));
  }
  /** Adds to a number (0 at first) and gives the sum. */
  async add(key: string, amount: number): Promise<number> {
    return within(this.request, `adding to ${key}`, native.storeAdd(key, amount));
  }
  /** Whether all keys are there. */
  async check(keys: readonly string[]): Promise<boolean> {
    return within(this.request, `looking for ${keys[0]}`, native.storeCheck(keys));
  }
  /**
   * Waits until all keys are there.
   * @param missing is asked once a second for a reason to stop waiting, and at the end for the message
   * @throws DistributedError that names the keys that did not come
   */
  async wait(keys: readonly string[], missing?: Missing): Promise<void> {
    const start = performance.now();
    let asked = start;
    for (let pause = 1; !(await this.check(keys)); pause = Math.min(2 * pause, 50)) {
      const now = performance.now();
      const over = now - start > 1000 * this.seconds;
      if (over || now - asked > 1000) {
        asked = now;
        const absent: string[] = [];
        for (const key of keys) if (!(await this.check([key]))) absent.push(key);
        const problem = await missing?.(absent, over);
        if (problem) throw new DistributedError(problem);
        if (over && absent.length)
          throw new DistributedError(`${absent.join(', ')} did not come within ${this.seconds} s`);
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

/** Why to stop waiting for the keys, or undefined; `over` says that the time is up. */
type Missing = (keys: readonly string[], over: boolean) => Promise<string | undefined>;

/** What was waited for has not come. */
export class LateError extends Error {}

/** The promise, or a LateError when it has not come after this many seconds. */
export async function within<T>(seconds: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new LateError(`${what} did not end within ${seconds} s`)), 1000 * seconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

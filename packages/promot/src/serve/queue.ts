// Work that must not run side by side: one piece at a time, in the order of arrival, with a limit on those that wait.

/** Thrown where too many wait already. */
export class QueueFull extends Error {
  override name = 'QueueFull';
}

interface Waiting {
  readonly start: () => void;
}

export class Queue {
  readonly #waiting: Waiting[] = [];
  #busy = false;

  /** @param limit how many may wait behind the one at work. */
  constructor(readonly limit: number) {}

  /** How many are at work or wait. */
  get length(): number {
    return this.#waiting.length + (this.#busy ? 1 : 0);
  }

  /**
   * Runs `work` when its turn has come. Who is aborted while waiting leaves the queue at once. Throws QueueFull, and
   * the signal's reason.
   */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    if (this.#busy) await this.#wait(signal);
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
      this.#waiting.shift()?.start();
    }
  }

  #wait(signal: AbortSignal): Promise<void> {
    if (this.#waiting.length >= this.limit) throw new QueueFull(`${this.limit} requests are waiting already`);
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(signal.reason);
      };
      const waiting: Waiting = {
        start: () => {
          signal.removeEventListener('abort', leave);
          // Taken before anybody else can see it free.
          this.#busy = true;
          resolve();
        },
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#waiting.push(waiting);
    });
  }
}

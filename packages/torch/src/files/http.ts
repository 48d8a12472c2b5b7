// Requests over HTTP that are tried again where another attempt may help: after a cut connection, a silent server, 429
// and 5xx.
import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../errors.js';

/** Thrown inside for what a new attempt may cure. */
export class PassingError extends Error {
  constructor(
    message: string,
    /** Seconds that the server asks to wait. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

/** After the last attempt. */
export class NoAnswerError extends UserError {
  constructor(
    what: string,
    /** The last attempt's fault. */
    readonly reason: string,
    limit: number,
  ) {
    super(`${what}: ${reason} (${limit} attempts). Try again later`, { code: 'network' });
  }
}

/** How long requests are kept up. */
export interface Patience {
  /** Seconds before the first new attempt, doubled each time. */
  readonly retryDelay: number;
  /** Seconds without a byte after which a connection counts as cut. */
  readonly silence: number;
  /** Hears of each new attempt. */
  readonly onNote: (text: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Attempts at one request or one stretch of a file before giving up: 15 seconds of waiting where a delay is one. */
export const attempts = 5;

/**
 * Runs `attempt` until it succeeds, fails for good, or has failed `limit` times without getting further.
 * @param what is asked for, for messages
 */
export async function persist<T>(
  what: string,
  patience: Patience,
  attempt: () => Promise<T>,
  { limit = attempts, progress = (): number => 0 } = {},
): Promise<T> {
  let reached = progress();
  for (let failures = 0; ; ) {
    try {
      return await attempt();
    } catch (error) {
      patience.signal?.throwIfAborted();
      if (!(error instanceof PassingError)) throw error;
      failures = progress() > reached ? 1 : failures + 1;
      reached = progress();
      if (failures >= limit) throw new NoAnswerError(what, error.message, limit);
      const seconds = Math.min(error.retryAfter ?? patience.retryDelay * 2 ** (failures - 1), 60);
      patience.onNote(`${what}: ${error.message}; attempt ${failures + 1} of ${limit} follows in ${seconds} s`);
      await sleep(1000 * seconds, undefined, { signal: patience.signal });
    }
  }
}

/** One exchange with a server. Errors of the connection are passing. */
export async function exchange(url: string, init: RequestInit, patience: Patience): Promise<Response> {
  const silent = new AbortController();
  const timer = setTimeout(() => silent.abort(), 1000 * patience.silence);
  // Kept for the body: it may end the connection, too.
  const signal = patience.signal ? AbortSignal.any([patience.signal, silent.signal]) : silent.signal;
  try {
    return await fetch(url, { ...init, signal });
  } catch (error) {
    patience.signal?.throwIfAborted();
    if (silent.signal.aborted) throw silence(url, patience);
    const cause = (error as { cause?: { code?: string; message?: string } }).cause;
    throw new PassingError(
      `cannot reach ${new URL(url).host} (${cause?.code ?? cause?.message ?? (error as Error).message})`,
    );
  } finally {
    clearTimeout(timer);
  }
}

/** Throws PassingError for a status that may be another one soon: 408, 429, 5xx. */
export function checkPassing({ status, headers }: Response): void {
  if (status !== 429 && status < 500 && status !== 408) return;
  const retryAfter = Number(headers.get('retry-after') ?? Number.NaN);
  const reason = status === 429 ? 'too many requests (429)' : `the server failed (${status})`;
  throw new PassingError(reason, Number.isFinite(retryAfter) && retryAfter >= 0 ? retryAfter : undefined);
}

function silence(url: string, patience: Patience): PassingError {
  return new PassingError(`${new URL(url).host} has sent nothing for ${patience.silence} s`);
}

/** The pieces of an answer's body. A server that falls silent is as good as a cut connection. */
export async function* piecesOf(response: Response, patience: Patience): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  try {
    for (;;) {
      let timer: NodeJS.Timeout | undefined;
      const silent = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(silence(response.url, patience)), 1000 * patience.silence);
      });
      const { done, value } = await Promise.race([reader.read(), silent]).finally(() => clearTimeout(timer));
      if (done) return;
      yield value as Uint8Array;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

// Downloads one large file over HTTP so that a cut connection or a killed process costs only what was on its way.
//
// The bytes go to `<path>.part`, and `<path>.part.json` says which version of the file they are of (its ETag); a later
// attempt asks for the rest on the condition that the file is still that version.
import { createWriteStream } from 'node:fs';
import { readFile, rename, rm, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeText } from '../files/write.js';
import type { OnProgress } from './progress.js';

/** The file cannot be had from there; the message says why. */
export class FetchError extends Error {
  override name = 'FetchError';
}

/** Options of `fetchFile`. */
export interface FetchFileOptions {
  onProgress: OnProgress;
  /** The name to show. */
  label: string;
  /** Wait before the first retry, in milliseconds; doubles with each further one. */
  retryDelay?: number;
}

/** Attempts in a row that bring nothing before giving up. */
const MOST_ATTEMPTS = 5;
const STALL_MS = 60_000;

/** A fault that another attempt may not show. */
class Interrupted extends Error {}

/**
 * Downloads `url` to `path`, going on where an earlier attempt ended.
 * @throws FetchError at once if the host cannot be reached or has no such file; after some attempts if the
 * connection keeps breaking. What has arrived by then is kept for the next time.
 */
export async function fetchFile(url: string, path: string, options: FetchFileOptions): Promise<void> {
  const part = `${path}.part`;
  let fruitless = 0;
  for (;;) {
    const before = await sizeOf(part);
    try {
      await attempt(url, part, options);
      await rename(part, path);
      await rm(`${part}.json`, { force: true });
      return;
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      const progressed = (await sizeOf(part)) > before;
      fruitless = progressed ? 1 : fruitless + 1;
      if (fruitless >= MOST_ATTEMPTS) throw new FetchError(`${new URL(url).host}: ${error.message}`);
      options.onProgress({ kind: 'note', message: `The download was cut (${error.message}); going on` });
      await sleep((options.retryDelay ?? 1000) * 2 ** (fruitless - 1));
    }
  }
}

async function attempt(url: string, part: string, { onProgress, label }: FetchFileOptions): Promise<void> {
  const known = await readVersion(part, url);
  const have = known ? await sizeOf(part) : 0;
  const headers: Record<string, string> = { 'accept-encoding': 'identity' };
  if (known && have > 0) Object.assign(headers, { range: `bytes=${have}-`, 'if-range': known });

  const stalled = new AbortController();
  const abort = () => stalled.abort(new Interrupted(`no data for ${STALL_MS / 1000} s`));
  let timer = setTimeout(abort, STALL_MS);
  try {
    const response = await fetch(url, { headers, signal: stalled.signal }).catch((error: Error) => {
      // Nothing was reached at all: with no bytes from earlier there is no reason to hope.
      const reason = reasonOf(error);
      throw have > 0 ? new Interrupted(reason) : new FetchError(`${new URL(url).host} cannot be reached (${reason})`);
    });
    if (response.status >= 500 || response.status === 429) throw new Interrupted(`HTTP ${response.status}`);
    if (response.status === 416) {
      await rm(part, { force: true });
      throw new Interrupted('the file on the server is now a shorter one');
    }
    if (!response.ok || !response.body) throw new FetchError(`${new URL(url).host} answers HTTP ${response.status}`);

    const start = response.status === 206 ? rangeStart(response) : 0;
    if (start !== 0 && start !== have) throw new FetchError(`${new URL(url).host} sent a wrong range`);
    const length = response.headers.get('content-length');
    const total = length === null ? undefined : start + Number(length);
    const version = response.headers.get('etag');
    // A weak ETag does not promise equal bytes, and If-Range refuses it.
    if (start === 0) writeText(`${part}.json`, JSON.stringify({ url, version: strong(version) }));

    let done = start;
    const body = Readable.fromWeb(response.body as import('node:stream/web').ReadableStream<Uint8Array>);
    body.on('data', (chunk: Uint8Array) => {
      clearTimeout(timer);
      timer = setTimeout(abort, STALL_MS);
      done += chunk.length;
      onProgress({ kind: 'progress', message: label, done, total, unit: 'bytes' });
    });
    await pipeline(body, createWriteStream(part, { flags: start === 0 ? 'w' : 'a' })).catch((error: Error) => {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'ENOSPC' || code === 'EACCES' || code === 'EDQUOT') throw error;
      throw new Interrupted(reasonOf(error));
    });
    if (total !== undefined && done !== total) throw new Interrupted(`${done} of ${total} bytes came`);
  } finally {
    clearTimeout(timer);
  }
}

function rangeStart(response: Response): number {
  return Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1] ?? Number.NaN);
}

function strong(etag: string | null): string | undefined {
  return etag?.startsWith('"') ? etag : undefined;
}

/** The ETag that the bytes in `part` belong to, if they are of this URL. */
async function readVersion(part: string, url: string): Promise<string | undefined> {
  try {
    const value = JSON.parse(await readFile(`${part}.json`, 'utf8')) as { url?: unknown; version?: unknown };
    return value.url === url && typeof value.version === 'string' ? value.version : undefined;
  } catch {
    return undefined;
  }
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    (info) => info.size,
    () => 0,
  );
}

/** fetch hides the reason ("fetch failed") in a chain of causes. */
function reasonOf(error: Error): string {
  let last: unknown = error;
  while (last instanceof Error && last.cause !== undefined) last = last.cause;
  const { code, message } = last as NodeJS.ErrnoException;
  return code ?? (message || error.message);
}

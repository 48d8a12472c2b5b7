// Downloads libtorch's archive: the bytes go to `<path>.part`, and `<path>.part.json` says which version of the file
// they are of (its ETag). A later attempt asks for the rest on the condition that the file is still that version.
import { readFile, rename, rm } from 'node:fs/promises';
import { UserError } from '../errors.js';
import { download } from '../files/download.js';
import { checkPassing, exchange, NoAnswerError, PassingError } from '../files/http.js';
import { writeText } from '../files/write.js';
import type { OnProgress } from './progress.js';

/** The file cannot be had from there; the message says why. */
export class FetchError extends Error {
  override name = 'FetchError';
}

/** Options of `fetchFile`. */
interface FetchFileOptions {
  onProgress: OnProgress;
  /** The name to show. */
  label: string;
  /** Seconds before the first new attempt, doubled each time. */
  retryDelay?: number;
}

/** The archives have some hundred megabytes. */
const mostBytes = 8e9;

/**
 * Downloads `url` to `path`, going on where an earlier attempt ended.
 * @throws FetchError at once if the host cannot be reached or has no such file; after some attempts if the
 * connection keeps breaking. What has arrived by then is kept for the next time.
 */
export async function fetchFile(url: string, path: string, options: FetchFileOptions): Promise<void> {
  const { onProgress, label, retryDelay = 1 } = options;
  const { host } = new URL(url);
  const part = `${path}.part`;
  const patience = { retryDelay, silence: 60, onNote: (message: string) => onProgress({ kind: 'note', message }) };
  let version = await readVersion(part, url);
  if (version === undefined) await rm(part, { force: true });

  const request = async ({ range }: Readonly<Record<string, string>>): Promise<Response> => {
    const headers: Record<string, string> = { 'accept-encoding': 'identity' };
    if (range !== undefined && version !== undefined) Object.assign(headers, { range, 'if-range': version });
    const response = await exchange(url, { headers }, patience).catch((error) => {
      // Nothing was reached at all: with no bytes from earlier there is no reason to hope.
      throw range === undefined && error instanceof PassingError
        ? new FetchError(error.message, { cause: error })
        : error;
    });
    checkPassing(response);
    if (response.status === 200) {
      await rm(part, { force: true });
      version = strong(response.headers.get('etag'));
      writeText(`${part}.json`, JSON.stringify({ url, version }));
    } else if (response.status !== 206 && response.status !== 416) {
      void response.body?.cancel().catch(() => {});
      throw new FetchError(`${host} answers HTTP ${response.status}`);
    }
    return response;
  };
  const onReceived = (done: number, total: number | undefined) =>
    onProgress({ kind: 'progress', message: label, done, total, unit: 'bytes' });
  try {
    await download(part, { what: label, request, most: mostBytes, onReceived }, patience);
  } catch (error) {
    if (error instanceof NoAnswerError) throw new FetchError(`${host}: ${error.reason}`, { cause: error });
    throw error instanceof UserError && error.code === 'network'
      ? new FetchError(error.message, { cause: error })
      : error;
  }
  await rename(part, path);
  await rm(`${part}.json`, { force: true });
}

/** A weak ETag does not promise equal bytes, and If-Range refuses it. */
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

// Downloads one large file so that a cut connection or a killed process costs only what was on its way: bytes are
// appended to a partial file, and each attempt, also of a later process, asks for the rest.
import { open, rm, stat } from 'node:fs/promises';
import { UserError } from '../errors.js';
import { PassingError, type Patience, persist, piecesOf } from './http.js';

/** A file on a server. */
export interface RemoteFile {
  /** For messages. */
  readonly what: string;
  /**
   * Asks for the file, or with a `range` among the headers for the rest of it. Throws PassingError for what another
   * attempt may cure, any other error for a refusal.
   */
  readonly request: (headers: Readonly<Record<string, string>>) => Promise<Response>;
  /** Bytes of the whole file; else the server's `content-length` says it. */
  readonly size?: number | undefined;
  /** The most bytes that are taken where `size` is unknown. */
  readonly most: number;
  /** Hears how many bytes there are, and how many there will be where that is known. */
  readonly onReceived?: (received: number, total: number | undefined) => void;
}

/**
 * Downloads a file to `path`, going on with the bytes that are there. The caller knows that they are of the same file,
 * or checks a sum afterwards, and holds a lock: two that append to one file spoil it.
 * Errors: a UserError for a server that fails or cuts the connection again and again (a NoAnswerError), one that sends
 * more than it announced or the wrong part, and a disk that is full; those of `request`.
 */
export async function download(path: string, file: RemoteFile, patience: Patience): Promise<void> {
  let received = await stat(path).then(
    (info) => info.size,
    () => 0,
  );
  if (received > 0 && received === file.size) return;
  const stretch = async (): Promise<void> => {
    await downloadStretch(path, file, received, patience, (count) => {
      received = count;
    });
  };
  await persist(file.what, patience, stretch, { progress: () => received });
}

/** One request for the bytes from `from` on, appended to the file. Cut connections are passing. */
async function downloadStretch(
  path: string,
  { what, request, size, most, onReceived }: RemoteFile,
  from: number,
  patience: Patience,
  reach: (count: number) => void,
): Promise<void> {
  const response = await request(from > 0 ? { range: `bytes=${from}-` } : {});
  if (response.status === 416) {
    await response.body?.cancel();
    await rm(path, { force: true }); // longer than the file on the server: of no use
    reach(0);
    throw new PassingError('the partial file did not fit');
  }
  const continues = response.status === 206 && response.headers.get('content-range')?.startsWith(`bytes ${from}-`);
  if (response.status === 206 && !continues) throw refused(`${what}: the server sent another range`);
  let count = continues ? from : 0;
  const length = response.headers.get('content-length');
  const total = size ?? (length === null ? undefined : count + Number(length));
  reach(count);
  const handle = await open(path, continues ? 'a' : 'w');
  try {
    for await (const bytes of piecesOf(response, patience)) {
      if (size === undefined && count + bytes.length > most)
        throw refused(
          `${what}: the server does not say how large it is, and sends more than ${Math.round(most / 2 ** 20)} ` +
            'MiB: it is not read on',
        );
      if (size !== undefined && count + bytes.length > size)
        throw refused(`${what}: the server sent more than the ${size} bytes that it announced`);
      await handle.appendFile(bytes); // unlike `write`, all of them
      count += bytes.length;
      reach(count);
      onReceived?.(count, total);
    }
  } catch (error) {
    if (error instanceof UserError || error instanceof PassingError) throw error;
    patience.signal?.throwIfAborted();
    const { syscall, message } = error as NodeJS.ErrnoException;
    if (syscall === 'write')
      throw new UserError(`${what}: cannot write ${path} (${message})`, { code: 'disk', cause: error });
    throw new PassingError(`the connection was cut after ${count} bytes`);
  } finally {
    await handle.close();
  }
  if (total !== undefined && count < total)
    throw new PassingError(`the connection was cut after ${count} of ${total} bytes`);
}

const refused = (message: string): UserError => new UserError(message, { code: 'network' });

// The bytes of a data file, unpacked where its name ends in .gz or .zst.
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { UserError } from '../base/errors.js';

/** Endings of packed files; they stand behind the ending of what is packed: `train.jsonl.gz`. */
export const packedEndings = ['.gz', '.zst'] as const;

/** A file of zeros shrinks a thousandfold, a text by ten at most. What grows beyond both limits was made to harm. */
const harmless = { bytes: 1 << 28, growth: 200 };

/**
 * The file's bytes in pieces, unpacked.
 * Errors: a UserError for a packed file that is damaged, cut short, or grows beyond a limit.
 */
export async function* readBytes(file: string): AsyncGenerator<Buffer> {
  const ending = packedEndings.find((one) => file.endsWith(one));
  // Loaded where it is used, as few files are packed so; and before the stream, which does not wait.
  const zstd = ending === '.zst' ? await import('fzstd') : undefined;
  const plain = createReadStream(file, { highWaterMark: 1 << 20 });
  if (ending === undefined) {
    yield* plain;
    return;
  }
  let read = 0;
  let written = 0;
  plain.on('data', (chunk) => {
    read += chunk.length;
  });
  try {
    for await (const chunk of zstd === undefined ? gunzipped(plain) : unzstd(plain, zstd.Decompress)) {
      written += chunk.length;
      if (written > harmless.bytes && written > read * harmless.growth)
        throw new UserError(`${file} unpacks to more than ${harmless.growth} times its size: it is not read`);
      yield chunk;
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${file} cannot be unpacked: ${(error as Error).message}`, {
      code: 'damaged-file',
      cause: error,
    });
  } finally {
    plain.destroy();
  }
}

async function* gunzipped(source: Readable): AsyncGenerator<Buffer> {
  const gunzip = createGunzip();
  const done = pipeline(source, gunzip);
  // An error reaches the reader through `gunzip` itself.
  done.catch(() => {});
  yield* gunzip;
  await done;
}

async function* unzstd(source: Readable, Decompress: typeof import('fzstd').Decompress): AsyncGenerator<Buffer> {
  const ready: Buffer[] = [];
  let finished = false;
  const stream = new Decompress((data, final) => {
    if (data.length > 0) ready.push(Buffer.from(data));
    finished = final ?? false;
  });
  for await (const chunk of source) {
    stream.push(chunk as Buffer, false);
    yield* ready.splice(0);
  }
  stream.push(new Uint8Array(0), true);
  yield* ready.splice(0);
  if (!finished) throw new Error('it is cut short');
}

/** All bytes of a file at once. Errors: those of `readBytes`; a UserError for a file beyond 4 GiB. */
export async function readWhole(file: string): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of readBytes(file)) {
    pieces.push(piece);
    length += piece.length;
    if (length > 2 ** 32) throw new UserError(`${file} is larger than 4 GiB unpacked: split it`);
  }
  return Buffer.concat(pieces);
}

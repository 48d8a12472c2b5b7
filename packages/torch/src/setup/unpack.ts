// Unpacks chosen files of a zip archive (a libtorch archive or a Python wheel), trusting nothing in it.
//
// yauzl reads the central directory, knows zip64, holds every entry to the size it declares and refuses names that are
// absolute or climb out (`..`). Added here: CRC-32 of every file, no links, and a limit on what may come out.
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import { type Entry, openPromise } from 'yauzl';
import type { OnProgress } from './progress.js';

/** libtorch with CUDA has some 5 GB; an archive that claims more than this is not one. */
const MOST_BYTES = 20e9;

/** The archive is damaged or hostile; the message says how. */
export class ArchiveError extends Error {
  override name = 'ArchiveError';
}

/**
 * Unpacks the files that `rename` gives a name to.
 * @param archive path of the zip file.
 * @param folder where files go; made if missing.
 * @param rename maps a name in the archive to a path relative to `folder`, or to undefined to leave the file out.
 * @returns how many files came out.
 * @throws ArchiveError if the archive is damaged, or holds a link or a path that leads out of `folder`.
 */
export async function unpack(
  archive: string,
  folder: string,
  rename: (name: string) => string | undefined,
  onProgress: OnProgress,
): Promise<number> {
  try {
    return await unpackFiles(archive, resolve(folder), rename, onProgress);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // Trouble with the disk is no fault of the archive.
    if (code !== undefined && ['ENOSPC', 'EACCES', 'EIO', 'EROFS', 'EDQUOT', 'ENOENT'].includes(code)) throw error;
    throw error instanceof ArchiveError ? error : new ArchiveError(message, { cause: error });
  }
}

async function unpackFiles(
  archive: string,
  folder: string,
  rename: (name: string) => string | undefined,
  onProgress: OnProgress,
): Promise<number> {
  const zip = await openPromise(archive, { autoClose: false });
  try {
    const chosen: { entry: Entry; path: string }[] = [];
    let total = 0;
    for await (const entry of zip.eachEntry()) {
      const name = entry.fileName.endsWith('/') ? undefined : rename(entry.fileName);
      if (name === undefined) continue;
      const path = join(folder, name);
      if (!path.startsWith(folder + sep)) throw new ArchiveError(`"${entry.fileName}" leads out of the folder`);
      if (isLink(entry)) throw new ArchiveError(`"${entry.fileName}" is a link`);
      total += entry.uncompressedSize;
      if (total > MOST_BYTES) throw new ArchiveError(`it unpacks to more than ${MOST_BYTES / 1e9} GB`);
      chosen.push({ entry, path });
    }
    const folders = new Set(chosen.map(({ path }) => dirname(path)));
    for (const path of folders) await mkdir(path, { recursive: true });

    let done = 0;
    for (const { entry, path } of chosen) {
      let sum = 0;
      const check = new Transform({
        transform(chunk: Buffer, _encoding, next) {
          sum = crc32(chunk, sum);
          done += chunk.length;
          onProgress({ kind: 'progress', message: 'unpacking', done, total, unit: 'bytes' });
          next(null, chunk);
        },
      });
      const target = createWriteStream(path, { flags: 'wx', mode: 0o644 });
      await pipeline(await zip.openReadStreamPromise(entry), check, target);
      if (sum !== entry.crc32) throw new ArchiveError(`"${entry.fileName}" is damaged (CRC-32 differs)`);
    }
    return chosen.length;
  } finally {
    zip.close();
  }
}

/** Unix archives keep the file's mode in the upper half of the external attributes. */
function isLink(entry: Entry): boolean {
  return ((entry.externalFileAttributes >>> 16) & 0o170000) === 0o120000;
}

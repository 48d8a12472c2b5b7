// Reads parts of a file with every range checked against the file's size.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { UserError, unreadable } from '../base/errors.js';

/** A file open for reading at any place. */
export interface FileReader {
  readonly path: string;
  /** Size of the file in bytes. */
  readonly size: number;
  /** The bytes [start, start + length). Throws a UserError where the file does not reach so far. */
  read(start: number, length: number): Buffer;
}

/** Opens a file, hands it to `use` and closes it again. Throws a UserError for a file that cannot be opened. */
export function withFile<T>(path: string, use: (file: FileReader) => T): T {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (error) {
    throw unreadable(path, error);
  }
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) throw new UserError(`${path} is not a file.`);
    const read = (start: number, length: number): Buffer => {
      if (!Number.isSafeInteger(start) || !Number.isSafeInteger(length) || start < 0 || length < 0) {
        throw new UserError(`${path} is damaged: it names a part that no file can have.`, { code: 'damaged-file' });
      }
      if (start + length > stat.size) {
        throw new UserError(
          `${path} is damaged or cut short: it needs ${start + length} bytes and has ${stat.size}. Fetch it again.`,
          { code: 'damaged-file' },
        );
      }
      const buffer = Buffer.allocUnsafe(length);
      for (let done = 0; done < length; ) {
        // One call reads 2 GiB at most.
        const count = readSync(descriptor, buffer, done, Math.min(length - done, 2 ** 30), start + done);
        if (count === 0) throw new UserError(`${path} became shorter while it was read.`);
        done += count;
      }
      return buffer;
    };
    return use({ path, size: stat.size, read });
  } finally {
    closeSync(descriptor);
  }
}

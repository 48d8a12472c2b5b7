// Writing files whole: to a temporary name in the same folder, synced, then renamed. A crash or a reader never meets
// half a file.
import { randomUUID } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';

/** Beside `path`, for what is not whole yet. */
export function temporaryName(path: string): string {
  return `${path}.tmp-${randomUUID().slice(0, 8)}`;
}

/**
 * Whether a name is one of `temporaryName`'s, or of the older form NAME.tmp: where nobody is at work, it is left over.
 */
export function isTemporaryName(name: string): boolean {
  return /\.tmp(-[0-9a-f]{8})?$/u.test(name);
}

/**
 * Makes or replaces a file; `fill` writes its bytes, piece by piece. Where anything fails the old file stays and
 * nothing is left over. Errors: what `fill` throws; those of the file system, with `path`, the bytes that were
 * `written`, and those that were `refused`.
 *
 * @example replaceFile('notes.txt', (write) => write(Buffer.from('whole')));
 */
export function replaceFile(path: string, fill: (write: (bytes: Uint8Array) => void) => void): void {
  const temporary = temporaryName(path);
  let written = 0;
  let refused = 0;
  let made = false;
  try {
    const file = openSync(temporary, 'wx');
    made = true;
    try {
      fill((bytes) => {
        refused = bytes.length;
        for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
        written += bytes.length;
        refused = 0;
      });
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    if (made) rmSync(temporary, { force: true });
    throw about(error, path, written, refused);
  }
}

/**
 * Makes a folder and those above it, where need be. Errors: those of the file system. (Node's own recursive form says
 * of a read-only disk that there is no such folder, and never ends under /proc.)
 */
export function makeFolder(path: string): void {
  const missing: string[] = [];
  for (let at = resolve(path); !isFolder(at); at = dirname(at)) missing.push(at);
  for (const folder of missing.reverse())
    try {
      mkdirSync(folder);
    } catch (error) {
      // Another process may have made it.
      if (!isFolder(folder)) throw error;
    }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Makes or replaces a text file, and its folder where need be. Errors: those of the file system, with `path`. */
export function writeText(path: string, text: string): void {
  makeFolder(dirname(path));
  replaceFile(path, (write) => write(Buffer.from(text)));
}

/** Adds to a text file, which is made where need be. Errors: those of the file system, with `path`. */
export function appendText(path: string, text: string): void {
  try {
    appendFileSync(path, text);
  } catch (error) {
    throw about(error, path, 0, Buffer.byteLength(text));
  }
}

/** Errors of writing do not say which file; those of opening speak of the temporary name. */
function about(error: unknown, path: string, written: number, refused: number): unknown {
  if (error instanceof Error && 'syscall' in error)
    Object.assign(error, { path, written, ...(error.syscall === 'write' && { refused }) });
  return error;
}

// What `git clone` leaves in place of large files where Git LFS is not set up: pointers, small texts.
import { closeSync, openSync, readSync } from 'node:fs';
import { UserError } from './errors.js';

const beginning = 'version https://git-lfs.github.com/spec/';

/**
 * Throws a UserError that says what to do where a file is a pointer of Git LFS. One that cannot be opened is left to
 * who reads it.
 */
export function refuseLfsPointer(path: string): void {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return;
  }
  try {
    const bytes = Buffer.alloc(beginning.length);
    if (readSync(file, bytes) !== bytes.length || bytes.toString('latin1') !== beginning) return;
  } catch {
    return;
  } finally {
    closeSync(file);
  }
  throw new UserError(`${path} is not the file itself but its pointer of Git LFS: run "git lfs pull" in its folder`);
}

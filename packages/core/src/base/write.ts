// Writing files whole, see @promot/torch/files; and what is left of writing that was cut short.
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isTemporaryName } from '@promot/torch/files';

export { appendText, isTemporaryName, makeFolder, replaceFile, temporaryName, writeText } from '@promot/torch/files';

/**
 * Removes what killed processes were about to write below a folder.
 * @param age milliseconds since the last change; 0 (default) where no other process can be at work there
 */
export function removeTemporaries(folder: string, age = 0): void {
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!isTemporaryName(name)) continue;
    const path = join(folder, name);
    const info = statSync(path, { throwIfNoEntry: false });
    if (info && Date.now() - info.mtimeMs >= age) rmSync(path, { recursive: true, force: true });
  }
}

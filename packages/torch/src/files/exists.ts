// Whether something is there.
import { stat } from 'node:fs/promises';

/** Whether there is a file or a folder at this path, or what a link there leads to. */
export function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

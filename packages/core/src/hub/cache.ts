// The hub's standard cache folder, shared with Python's libraries:
// `<cache>/datasets--owner--name/{refs/<branch>, snapshots/<commit>/<path> -> ../../blobs/<etag>, blobs/<etag>}`.
import { lstat, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { commitPattern, type HubRepository, revisionsOf } from './repository.js';

/** A snapshot of a repository in the cache. */
export interface HubSnapshot {
  /** Its folder; files stand there under their paths in the repository. */
  readonly folder: string;
  readonly commit: string;
  /** Paths of the wanted files, sorted. */
  readonly files: readonly string[];
}

/** Picks files from a list of paths. */
export type Wanted = (paths: readonly string[]) => readonly string[];

/** The folder of a repository in the cache. */
export function folderName({ type, name }: HubRepository): string {
  return `${type}s--${name.replaceAll('/', '--')}`;
}

/** The snapshot that was brought last, if it has wanted files. Errors: those of `wanted`. */
export async function cachedSnapshot(
  repository: HubRepository,
  storage: string,
  wanted: Wanted,
): Promise<HubSnapshot | undefined> {
  for (const revision of revisionsOf(repository)) {
    const reference = await readFile(join(storage, 'refs', ...revision.split('/')), 'utf8').catch(() => '');
    const commit = commitPattern.test(revision) ? revision : reference.trim();
    if (!commitPattern.test(commit)) continue;
    const folder = join(storage, 'snapshots', commit);
    const files = [...wanted(await listFolder(folder))].sort();
    if (files.length > 0) return { folder, commit, files };
  }
  return undefined;
}

/** Paths, with slashes, of all files below a folder whose content is there. */
async function listFolder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true }).catch(() => []);
  const paths: string[] = [];
  for (const entry of entries) {
    const info = await stat(join(folder, entry)).catch(() => undefined); // follows links: a dangling one is no file
    if (info?.isFile()) paths.push(entry.replaceAll('\\', '/'));
  }
  return paths;
}

/** Puts `pointer` in place as a relative link to the blob; where links are not allowed, the blob itself moves there. */
export async function linkTo(blob: string, pointer: string): Promise<void> {
  if (await lstat(pointer).catch(() => undefined)) await rm(pointer); // a dangling link
  try {
    await symlink(relative(dirname(pointer), blob), pointer);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return; // another process was quicker
    await rename(blob, pointer);
  }
}

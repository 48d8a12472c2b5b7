// Files of the Hugging Face hub, kept in its standard cache folder.
//
// Features: resumes cut downloads, checks every file against its etag, tries again after cut connections, 429 and 5xx,
// takes what is cached where the hub does not answer, lets one process at a time download a file, offline mode,
// mirrors, tokens, progress, cancellation.
import { join } from 'node:path';
import { exists } from '@promot/torch/files';
import { UserError } from '../base/errors.js';
import { writeText } from '../base/write.js';
import { bringFile } from './blob.js';
import { cachedSnapshot, folderName, type HubSnapshot, type Wanted } from './cache.js';
import { findUnlessCached } from './listing.js';
import { checkPath, describe, type HubRepository, revisionsOf } from './repository.js';
import { type HubOptions, settingsOf } from './settings.js';

/**
 * Brings the wanted files of a repository into the cache, those that are not there yet, and says where they are.
 * Within a process a revision is looked up once. Where the hub does not answer, a cached copy is used, with a warning.
 *
 * @param wanted picks files from the list of all paths in the repository (offline: of all cached paths).
 * Errors: a UserError for a repository, revision or file that does not exist, one that needs a token (401, 403), too
 * many requests (429), a server that fails or cuts the connection again and again, content that does not match its
 * checksum, a disk that is full, no file wanted, and offline mode without a cached copy.
 *
 * @example
 * const repository = { type: 'model', name: 'google/mt5-small' } as const;
 * const { folder } = await hubSnapshot(repository, (paths) => paths.filter((path) => path.endsWith('.json')));
 */
export async function hubSnapshot(
  repository: HubRepository,
  wanted: Wanted,
  options: HubOptions = {},
): Promise<HubSnapshot> {
  const settings = settingsOf(options);
  if (!/^[\w-][\w.-]*(?:\/[\w-][\w.-]*)?$/u.test(repository.name) || repository.name.includes('..')) {
    throw new UserError(`"${repository.name}" is not the name of a hub repository`);
  }
  for (const revision of revisionsOf(repository)) checkPath(revision, describe(repository));
  const storage = join(settings.cacheFolder, folderName(repository));
  if (settings.offline) {
    const cached = await cachedSnapshot(repository, storage, wanted);
    if (cached) return cached;
    throw new UserError(
      `${describe(repository)} is not in the cache (${storage}), and HF_HUB_OFFLINE forbids to download it`,
    );
  }

  const cached = await cachedSnapshot(repository, storage, wanted).catch((error) => {
    if (error instanceof UserError) return undefined; // an incomplete copy
    throw error;
  });
  const found = await findUnlessCached(repository, storage, wanted, cached, settings);
  if (found === undefined) return cached!;
  const { revision, commit, files } = found;
  const folder = join(storage, 'snapshots', commit);
  for (const file of files) {
    if (!(await exists(join(folder, file)))) await bringFile(repository, commit, file, storage, settings);
  }
  if (revision !== commit) writeText(join(storage, 'refs', ...revision.split('/')), commit);
  return { folder, commit, files };
}

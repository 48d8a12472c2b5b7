// Which files a repository has, and which of them are wanted: asked of the hub once in a process.
import { attempts, NoAnswerError, PassingError, persist } from '@promot/torch/files';
import { UserError } from '../base/errors.js';
import type { HubSnapshot, Wanted } from './cache.js';
import { checkPath, commitPattern, describe, type HubRepository, revisionsOf } from './repository.js';
import { checkStatus, follow, readJsonBody } from './requests.js';
import type { HubSettings } from './settings.js';

/** Wanted files, and where. */
interface FoundFiles {
  readonly revision: string;
  readonly commit: string;
  readonly files: readonly string[];
}

/**
 * Attempts at a listing that a cached copy can do without: enough for a hiccup, and a second's wait without a network.
 */
const attemptsIfCached = 2;

/**
 * Endpoints that did not answer this process, and why: with a cached copy there is no use in waiting for them again.
 */
const silentEndpoints = new Map<string, string>();
/** Each warning about a cached copy is given once. */
const warned = new Set<string>();

/**
 * Asks the hub for the wanted files; undefined, with a warning, where it does not answer and there is a cached copy.
 */
export async function findUnlessCached(
  repository: HubRepository,
  storage: string,
  wanted: Wanted,
  cached: HubSnapshot | undefined,
  settings: HubSettings,
): Promise<FoundFiles | undefined> {
  let reason = silentEndpoints.get(settings.endpoint);
  if (cached === undefined || reason === undefined) {
    try {
      return await findFiles(repository, storage, wanted, settings, cached ? attemptsIfCached : attempts);
    } catch (error) {
      if (!(error instanceof NoAnswerError)) throw error;
      reason = error.reason;
      silentEndpoints.set(settings.endpoint, reason);
      if (cached === undefined) throw error;
    }
  }
  const warning = `${describe(repository)}: ${reason}; the cached copy is used (commit ${cached.commit.slice(0, 7)})`;
  if (!warned.has(warning)) settings.onEvent({ type: 'note', text: warning });
  warned.add(warning);
  return undefined;
}

/** The wanted files of the revision, or of the fallback. */
async function findFiles(
  repository: HubRepository,
  storage: string,
  wanted: Wanted,
  settings: HubSettings,
  limit: number,
): Promise<FoundFiles> {
  const { commit, paths } = await listing(repository, storage, settings, limit);
  const files = [...wanted(paths)].sort();
  const [revision, fallback] = revisionsOf(repository);
  if (files.length > 0) return { revision: revision!, commit, files };
  const none = new UserError(`${describe(repository)} has none of the files that are needed`);
  if (fallback === undefined) throw none;
  const { type, name } = repository;
  return findFiles({ type, name, revision: fallback }, storage, wanted, settings, limit).catch((error) => {
    // Only some repositories have the fallback: where it is at fault, what is amiss is that the revision has no files.
    throw error instanceof UserError && !(error instanceof NoAnswerError) ? none : error;
  });
}

interface Listing {
  readonly commit: string;
  readonly paths: readonly string[];
}

/** What this process has looked up. */
const listings = new Map<string, Listing>();

/** The commit of a revision and the paths of its files. */
async function listing(
  repository: HubRepository,
  storage: string,
  settings: HubSettings,
  limit: number,
): Promise<Listing> {
  const { type, name } = repository;
  const api = `${settings.endpoint}/api/${type}s/${name}/revision/${encodeURIComponent(revisionsOf(repository)[0]!)}`;
  const key = JSON.stringify([api, settings.token, storage]);
  const known = listings.get(key);
  if (known) return known;
  const answer = await persist(
    describe(repository),
    settings,
    async () => {
      const response = await follow(api, {}, settings);
      checkStatus(response, describe(repository), settings);
      return readJsonBody(response, describe(repository), settings).catch((error) => {
        settings.signal?.throwIfAborted();
        throw error instanceof UserError || error instanceof PassingError
          ? error
          : new PassingError('the connection was cut in the list of files');
      });
    },
    { limit },
  );
  silentEndpoints.delete(settings.endpoint);
  const info = (answer ?? undefined) as { sha?: unknown; siblings?: unknown } | undefined;
  const siblings = Array.isArray(info?.siblings) ? (info.siblings as ({ rfilename?: unknown } | null)[]) : undefined;
  if (typeof info?.sha !== 'string' || !commitPattern.test(info.sha) || siblings === undefined) {
    throw new UserError(`${api} gave no list of files: is ${settings.endpoint} a Hugging Face hub?`);
  }
  const what = describe(repository);
  const paths = siblings.flatMap((one) => (typeof one?.rfilename === 'string' ? [checkPath(one.rfilename, what)] : []));
  const found = { commit: info.sha, paths };
  listings.set(key, found);
  return found;
}

// Files of the Hugging Face hub, kept in its standard cache folder, so that they are shared with Python's libraries:
// `<cache>/datasets--owner--name/{refs/<branch>, snapshots/<commit>/<path> -> ../../blobs/<etag>, blobs/<etag>}`.
//
// Features: resumes cut downloads, checks every file against its etag (SHA-256 for LFS files, Git's SHA-1 for others),
// tries again after cut connections, 429 and 5xx, takes what is cached where the hub does not answer, lets one process
// at a time download a file, offline mode, mirrors, tokens, progress, cancellation.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, mkdir, open, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { withLock } from '@promot/torch/files';
import { UserError } from '../base/errors.js';
import type { Observer } from '../base/events.js';
import { writeText } from '../base/write.js';

/** A repository on the hub. */
export interface HubRepository {
  readonly type: 'model' | 'dataset';
  /** `owner/name`, or the bare name of an old repository. */
  readonly name: string;
  /** Branch, tag or commit; `main` by default. */
  readonly revision?: string;
  /** A revision to take where `revision` has none of the wanted files; it need not exist. */
  readonly fallback?: string;
}

/** How to reach the hub; the defaults come from the environment, as in Python's huggingface_hub. */
export interface HubOptions {
  /** `HF_ENDPOINT`, else https://huggingface.co. */
  readonly endpoint?: string;
  /** `HF_TOKEN`; sent to the endpoint only, never to the servers it redirects to. */
  readonly token?: string;
  /** `HF_HUB_CACHE`, else `$HF_HOME/hub`, else `~/.cache/huggingface/hub`. */
  readonly cacheFolder?: string;
  /** `HF_HUB_OFFLINE` (1, true, yes, on): only what is cached is used. */
  readonly offline?: boolean;
  /**
   * Hears of downloads, and in notes what people should know though the work goes on (a cached copy is used, another
   * process downloads). By default notes are warnings of Node.js.
   */
  readonly onEvent?: Observer;
  readonly signal?: AbortSignal;
  /** Seconds before the first new attempt, doubled each time; 1 by default. */
  readonly retryDelay?: number;
  /** Seconds without a byte after which a connection counts as cut; 10 by default. */
  readonly silence?: number;
}

/** An observer that hears of notes alone. */
export function notesTo(onWarning: (message: string) => void): Observer {
  return (event) => event.type === 'note' && onWarning(event.text);
}

/** A snapshot of a repository in the cache. */
export interface HubSnapshot {
  /** Its folder; files stand there under their paths in the repository. */
  readonly folder: string;
  readonly commit: string;
  /** Paths of the wanted files, sorted. */
  readonly files: readonly string[];
}

/** Whether a text has the form of a hub name with an owner: `google/mt5-small`. */
export function isHubName(text: string): boolean {
  return /^[\w-][\w.-]*\/[\w-][\w.-]*$/u.test(text) && !text.includes('..');
}

type Settings = HubOptions &
  Required<Pick<HubOptions, 'endpoint' | 'cacheFolder' | 'offline' | 'retryDelay' | 'silence' | 'onEvent'>>;

function settingsOf(options: HubOptions): Settings {
  const { env } = process;
  const home = env.HF_HOME ?? join(env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface');
  return {
    ...options,
    endpoint: (options.endpoint ?? (env.HF_ENDPOINT || 'https://huggingface.co')).replace(/\/+$/u, ''),
    token: (options.token ?? env.HF_TOKEN) || undefined,
    cacheFolder: options.cacheFolder ?? env.HF_HUB_CACHE ?? join(home, 'hub'),
    offline: options.offline ?? /^(?:1|true|yes|on)$/iu.test(env.HF_HUB_OFFLINE ?? ''),
    retryDelay: options.retryDelay ?? 1,
    silence: options.silence ?? 10,
    onEvent: options.onEvent ?? ((event) => event.type === 'note' && process.emitWarning(event.text)),
  };
}

const commitPattern = /^[0-9a-f]{40}$/u;

/** No path of a repository may leave its folder. */
function checkPath(path: string): string {
  const parts = path.split('/');
  if (/[\\\0:]/u.test(path) || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new UserError(`the hub names an unsafe file: ${JSON.stringify(path)}`);
  }
  return path;
}

type Wanted = (paths: readonly string[]) => readonly string[];

/**
 * Brings the wanted files of a repository into the cache, those that are not there yet, and says where they are.
 * Within a process a revision is looked up once. Where the hub does not answer, a cached copy is used, with a warning.
 *
 * @param wanted picks files from the list of all paths in the repository (offline: of all cached paths).
 * Errors: a UserError for a repository, revision or file that does not exist, one that needs a token (401, 403), too many
 * requests (429), a server that fails or cuts the connection again and again, content that does not match its checksum,
 * a disk that is full, no file wanted, and offline mode without a cached copy.
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
  for (const revision of revisionsOf(repository)) checkPath(revision);
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
    if (!(await exists(join(folder, file)))) await download(repository, commit, file, storage, settings);
  }
  if (revision !== commit) writeText(join(storage, 'refs', ...revision.split('/')), commit);
  return { folder, commit, files };
}

/** In order of preference. */
function revisionsOf({ revision = 'main', fallback }: HubRepository): string[] {
  return fallback === undefined ? [revision] : [revision, fallback];
}

/** The folder of a repository in the cache. */
function folderName({ type, name }: HubRepository): string {
  return `${type}s--${name.replaceAll('/', '--')}`;
}

/** The snapshot that was brought last, if it has wanted files. Errors: those of `wanted`. */
async function cachedSnapshot(
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

interface FoundFiles {
  readonly revision: string;
  readonly commit: string;
  readonly files: readonly string[];
}

/**
 * Endpoints that did not answer this process, and why: with a cached copy there is no use in waiting for them again.
 */
const silentEndpoints = new Map<string, string>();
/** Each warning about a cached copy is given once. */
const warned = new Set<string>();

/**
 * Asks the hub for the wanted files; undefined, with a warning, where it does not answer and there is a cached copy.
 */
async function findUnlessCached(
  repository: HubRepository,
  storage: string,
  wanted: Wanted,
  cached: HubSnapshot | undefined,
  settings: Settings,
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
  settings: Settings,
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
  settings: Settings,
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
      return readJson(response, describe(repository), settings).catch((error) => {
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
  const paths = siblings.flatMap((one) => (typeof one?.rfilename === 'string' ? [checkPath(one.rfilename)] : []));
  const found = { commit: info.sha, paths };
  listings.set(key, found);
  return found;
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

function describe({ type, name, revision }: HubRepository): string {
  return `${type} ${name}${revision === undefined ? '' : ` (revision ${revision})`}`;
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Attempts at one request or one stretch of a file before giving up: 15 seconds of waiting. */
const attempts = 5;

/**
 * Attempts at a listing that a cached copy can do without: enough for a hiccup, and a second's wait without a network.
 */
const attemptsIfCached = 2;

/** Thrown inside for what a new attempt may cure. */
class PassingError extends Error {
  constructor(
    message: string,
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

/** After the last attempt. */
class NoAnswerError extends UserError {
  constructor(
    what: string,
    readonly reason: string,
    limit: number,
  ) {
    super(`${what}: ${reason} (${limit} attempts). Try again later`, { code: 'network' });
  }
}

/** Runs `attempt` until it succeeds, fails for good, or has failed `limit` times without getting further. */
async function persist<T>(
  what: string,
  settings: Settings,
  attempt: () => Promise<T>,
  { limit = attempts, progress = (): number => 0 } = {},
): Promise<T> {
  let reached = progress();
  for (let failures = 0; ; ) {
    try {
      return await attempt();
    } catch (error) {
      settings.signal?.throwIfAborted();
      if (!(error instanceof PassingError)) throw error;
      failures = progress() > reached ? 1 : failures + 1;
      reached = progress();
      if (failures >= limit) throw new NoAnswerError(what, error.message, limit);
      const seconds = Math.min(error.retryAfter ?? settings.retryDelay * 2 ** (failures - 1), 60);
      settings.onEvent({
        type: 'note',
        text: `${what}: ${error.message}; attempt ${failures + 1} of ${limit} follows in ${seconds} s`,
      });
      await sleep(1000 * seconds, undefined, { signal: settings.signal });
    }
  }
}

type Header = Readonly<Record<string, string>>;

/** One exchange with a server, redirects not followed. Errors of the connection are passing. */
async function exchange(url: string, init: RequestInit, settings: Settings): Promise<Response> {
  const silent = new AbortController();
  const timer = setTimeout(() => silent.abort(), 1000 * settings.silence);
  // Kept for the body: it may end the connection, too.
  const signal = settings.signal ? AbortSignal.any([settings.signal, silent.signal]) : silent.signal;
  try {
    return await fetch(url, { ...init, redirect: 'manual', signal });
  } catch (error) {
    settings.signal?.throwIfAborted();
    if (silent.signal.aborted) throw silence(url, settings);
    const cause = (error as { cause?: { code?: string; message?: string } }).cause;
    throw new PassingError(
      `cannot reach ${new URL(url).host} (${cause?.code ?? cause?.message ?? (error as Error).message})`,
    );
  } finally {
    clearTimeout(timer);
  }
}

function silence(url: string, settings: Settings): PassingError {
  return new PassingError(`${new URL(url).host} has sent nothing for ${settings.silence} s`);
}

/** The pieces of an answer's body. A server that falls silent is as good as a cut connection. */
async function* piecesOf(response: Response, settings: Settings): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  try {
    for (;;) {
      let timer: NodeJS.Timeout | undefined;
      const silent = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(silence(response.url || settings.endpoint, settings)), 1000 * settings.silence);
      });
      const { done, value } = await Promise.race([reader.read(), silent]).finally(() => clearTimeout(timer));
      if (done) return;
      yield value as Uint8Array;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** No list of files is longer, in bytes: the largest repositories' are of some megabytes. */
const largestList = 1 << 26;
/** A file whose size the server does not say may have so many bytes. The hub says all sizes. */
const largestUnsized = 1 << 26;

/** An answer's body as JSON; undefined where it is none. Errors: a UserError for a body beyond all measure. */
async function readJson(response: Response, what: string, settings: Settings): Promise<unknown> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of piecesOf(response, settings)) {
    pieces.push(piece);
    length += piece.length;
    if (length > largestList)
      throw new UserError(
        `${what}: ${settings.endpoint} sends a list of more than ${largestList >> 20} MiB: it is not read`,
      );
  }
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}

/** Follows redirects; the token goes to the hub's own origin only. */
async function follow(url: string, init: { method?: string; headers?: Header }, settings: Settings): Promise<Response> {
  let current = url;
  for (let hop = 0; hop < 10; hop++) {
    const own = new URL(current).origin === new URL(settings.endpoint).origin;
    const authorization: Header =
      own && settings.token !== undefined ? { authorization: `Bearer ${settings.token}` } : {};
    const headers = { 'accept-encoding': 'identity', 'user-agent': 'promot', ...init.headers, ...authorization };
    const response = await exchange(current, { method: init.method ?? 'GET', headers }, settings);
    const location = response.headers.get('location');
    if (response.status < 300 || response.status >= 400 || location === null) return response;
    const next = new URL(location, current);
    // The answer to HEAD carries the file's etag when it points to another server: there it would have another one.
    if (init.method === 'HEAD' && response.headers.has('x-linked-etag')) return response;
    if (!/^https?:$/u.test(next.protocol)) throw new UserError(`${current} redirects to ${next.protocol}`);
    await response.body?.cancel();
    current = next.href;
  }
  throw new UserError(`${url} redirects too often`);
}

function checkStatus(response: Response, what: string, settings: Settings): void {
  const { status } = response;
  if (status < 400) return;
  void response.body?.cancel().catch(() => {});
  if (status === 401 || status === 403) {
    const advice =
      settings.token === undefined
        ? 'set HF_TOKEN to a token that may read it'
        : 'the token in HF_TOKEN may not read it';
    throw new UserError(
      `${what} does not exist or is not public (${status} from ${settings.endpoint}): check the name, or ${advice}`,
    );
  }
  if (status === 404) throw new UserError(`${what} does not exist on ${settings.endpoint} (404)`);
  if (status === 429 || status >= 500 || status === 408) {
    const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN);
    const reason = status === 429 ? 'too many requests (429)' : `the server failed (${status})`;
    throw new PassingError(reason, Number.isFinite(retryAfter) && retryAfter >= 0 ? retryAfter : undefined);
  }
  throw new UserError(`${what}: ${settings.endpoint} answered ${status}`);
}

/** Downloads one file to its blob and links it into the snapshot. */
async function download(
  repository: HubRepository,
  commit: string,
  file: string,
  storage: string,
  settings: Settings,
): Promise<void> {
  const what = `${file} of ${describe(repository)}`;
  const kind = repository.type === 'model' ? '' : 'datasets/';
  const url = `${settings.endpoint}/${kind}${repository.name}/resolve/${commit}/${file.split('/').map(encodeURIComponent).join('/')}`;
  const head = await persist(what, settings, async () => {
    const response = await follow(url, { method: 'HEAD' }, settings);
    checkStatus(response, what, settings);
    return response;
  });
  const quoted = head.headers.get('x-linked-etag') ?? head.headers.get('etag') ?? '';
  const etag = quoted.replace(/^W\//u, '').replaceAll('"', '');
  if (!/^[\w-][\w.-]{0,127}$/u.test(etag)) throw new UserError(`${what}: ${settings.endpoint} gives no usable etag`);
  const linked = head.headers.get('x-linked-size');
  // A redirect's own content-length is not the file's.
  const length = linked ?? (head.status < 300 ? head.headers.get('content-length') : null);
  const size = length === null ? undefined : Number(length);

  const blob = join(storage, 'blobs', etag);
  const pointer = join(storage, 'snapshots', commit, file);
  const bring = async (): Promise<void> => {
    settings.signal?.throwIfAborted();
    if (await exists(pointer)) return; // another process has brought it meanwhile
    if (!(await exists(blob))) await downloadBlob({ url, what, file, etag, size, blob }, settings);
    await mkdir(dirname(pointer), { recursive: true });
    await linkTo(blob, pointer);
  };
  // Two that append to one partial file spoil it. Python's locks, of another kind, are in the same folder as
  // `<etag>.lock`.
  const lock = join(settings.cacheFolder, '.locks', folderName(repository), `${etag}.promot-lock`);
  await withLock(lock, bring, (pid) =>
    settings.onEvent({ type: 'note', text: `${what}: waiting for process ${pid}, which downloads it` }),
  );
}

interface BlobDownload {
  readonly url: string;
  readonly what: string;
  readonly file: string;
  readonly etag: string;
  readonly size: number | undefined;
  readonly blob: string;
}

async function downloadBlob(target: BlobDownload, settings: Settings): Promise<void> {
  const { what, etag, size, blob } = target;
  await mkdir(dirname(blob), { recursive: true });
  const incomplete = `${blob}.incomplete`;
  let received = await stat(incomplete).then(
    (info) => info.size,
    () => 0,
  );
  // What an earlier run left may be damaged: one download from the start follows a checksum that does not match.
  for (const resumed of received > 0 ? [true, false] : [false]) {
    if (size === undefined || received !== size || !resumed) {
      const attempt = async (): Promise<void> => {
        received = await downloadStretch(target, incomplete, received, settings, (count) => {
          received = count;
        });
      };
      await persist(what, settings, attempt, { progress: () => received });
    }
    if (await hasChecksum(incomplete, etag, size)) {
      await rename(incomplete, blob);
      return;
    }
    await rm(incomplete, { force: true });
    received = 0;
  }
  throw new UserError(`${what}: what ${settings.endpoint} sent does not match its checksum ${etag}. Try again`);
}

/**
 * One GET from `from` on, appended to the file; gives the bytes that the file then has. Cut connections are passing.
 */
async function downloadStretch(
  { url, what, file, size }: BlobDownload,
  path: string,
  from: number,
  settings: Settings,
  onReceived: (count: number) => void,
): Promise<number> {
  const response = await follow(url, { headers: from > 0 ? { range: `bytes=${from}-` } : {} }, settings);
  if (response.status === 416) {
    await response.body?.cancel();
    await rm(path, { force: true }); // longer than the file on the server: of no use
    onReceived(0);
    throw new PassingError('the partial file did not fit');
  }
  checkStatus(response, what, settings);
  const continues = response.status === 206 && response.headers.get('content-range')?.startsWith(`bytes ${from}-`);
  if (from > 0 && response.status === 206 && !continues) throw new UserError(`${what}: the server sent another range`);
  let count = continues ? from : 0;
  onReceived(count);
  const handle = await open(path, continues ? 'a' : 'w');
  try {
    for await (const bytes of piecesOf(response, settings)) {
      if (size === undefined && count + bytes.length > largestUnsized)
        throw new UserError(
          `${what}: the server does not say how large it is, and sends more than ${largestUnsized >> 20} MiB: it is not read on`,
        );
      if (size !== undefined && count + bytes.length > size) {
        throw new UserError(`${what}: the server sent more than the ${size} bytes that it announced`);
      }
      await handle.appendFile(bytes); // unlike `write`, all of them
      count += bytes.length;
      onReceived(count);
      settings.onEvent({ type: 'download', file, received: count, total: size });
    }
  } catch (error) {
    if (error instanceof UserError || error instanceof PassingError) throw error;
    settings.signal?.throwIfAborted();
    const { syscall, message } = error as NodeJS.ErrnoException;
    if (syscall === 'write') throw new UserError(`${what}: cannot write ${path} (${message})`); // the disk is full
    throw new PassingError(`the connection was cut after ${count} bytes`);
  } finally {
    await handle.close();
  }
  if (size !== undefined && count < size)
    throw new PassingError(`the connection was cut after ${count} of ${size} bytes`);
  return count;
}

/**
 * Whether a file has the size and the content that its etag stands for. Etags of other forms vouch for the size only.
 */
async function hasChecksum(path: string, etag: string, size: number | undefined): Promise<boolean> {
  const actual = await stat(path).then(
    (info) => info.size,
    () => undefined,
  );
  if (actual === undefined || (size !== undefined && actual !== size)) return false;
  const lfs = /^[0-9a-f]{64}$/u.test(etag);
  if (!lfs && !commitPattern.test(etag)) return true;
  const hash = createHash(lfs ? 'sha256' : 'sha1');
  if (!lfs) hash.update(`blob ${actual}\0`); // as Git hashes a file
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex') === etag;
}

/** Puts `pointer` in place as a relative link to the blob; where links are not allowed, the blob itself moves there. */
async function linkTo(blob: string, pointer: string): Promise<void> {
  if (await lstat(pointer).catch(() => undefined)) await rm(pointer); // a dangling link
  try {
    await symlink(relative(dirname(pointer), blob), pointer);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return; // another process was quicker
    await rename(blob, pointer);
  }
}

// Brings one file into the cache: downloaded to its blob, checked against its etag (SHA-256 for LFS files, Git's SHA-1
// for others), linked into the snapshot. One process at a time downloads a file.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { download, exists, makeFolder, persist, withLock } from '@promot/torch/files';
import { UserError } from '../base/errors.js';
import { folderName, linkTo } from './cache.js';
import { describe, type HubRepository } from './repository.js';
import { checkStatus, follow } from './requests.js';
import type { HubSettings } from './settings.js';

/** Downloads one file to its blob and links it into the snapshot. */
export async function bringFile(
  repository: HubRepository,
  commit: string,
  file: string,
  storage: string,
  settings: HubSettings,
): Promise<void> {
  const what = `${file} of ${describe(repository)}`;
  const kind = repository.type === 'model' ? '' : 'datasets/';
  const path = file.split('/').map(encodeURIComponent).join('/');
  const url = `${settings.endpoint}/${kind}${repository.name}/resolve/${commit}/${path}`;
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
  const size = /^\d{1,15}$/u.test(length ?? '') ? Number(length) : undefined;

  // A server that is no hub may give two files the same etag: where it is no hash, the blob is the file's own.
  const own = isHash(etag) ? etag : `${etag}-${createHash('sha256').update(file).digest('hex').slice(0, 16)}`;
  const blob = join(storage, 'blobs', own);
  const pointer = join(storage, 'snapshots', commit, file);
  const bring = async (): Promise<void> => {
    settings.signal?.throwIfAborted();
    if (await exists(pointer)) return; // another process has brought it meanwhile
    if (!(await exists(blob))) await downloadBlob({ url, what, file, etag, size, path: blob }, settings);
    makeFolder(dirname(pointer));
    await linkTo(blob, pointer);
  };
  // Two that append to one partial file spoil it. Python's locks, of another kind, are in the same folder as
  // `<etag>.lock`.
  const lock = join(settings.cacheFolder, '.locks', folderName(repository), `${own}.promot-lock`);
  await withLock(lock, bring, (pid) =>
    settings.onEvent({ type: 'note', text: `${what}: waiting for process ${pid}, which downloads it` }),
  );
}

/** Whether an etag is the SHA-256 of an LFS file or Git's SHA-1 of another. */
const isHash = (etag: string) => /^(?:[0-9a-f]{64}|[0-9a-f]{40})$/u.test(etag);

/** A file whose size the server does not say may have so many bytes. The hub says all sizes. */
const largestUnsized = 1 << 26;

interface Blob {
  readonly url: string;
  readonly what: string;
  readonly file: string;
  readonly etag: string;
  readonly size: number | undefined;
  readonly path: string;
}

async function downloadBlob({ url, what, file, etag, size, path }: Blob, settings: HubSettings): Promise<void> {
  makeFolder(dirname(path));
  const incomplete = `${path}.incomplete`;
  const request = async (headers: Readonly<Record<string, string>>): Promise<Response> => {
    const response = await follow(url, { headers }, settings);
    if (response.status !== 416) checkStatus(response, what, settings);
    return response;
  };
  const onReceived = (received: number) => settings.onEvent({ type: 'download', file, received, total: size });
  // What an earlier run left may be damaged: one download from the start follows a checksum that does not match.
  for (const _ of (await exists(incomplete)) ? ['the rest', 'all'] : ['all']) {
    await download(incomplete, { what, request, size, most: largestUnsized, onReceived }, settings);
    if (await hasChecksum(incomplete, etag, size)) {
      await rename(incomplete, path);
      return;
    }
    await rm(incomplete, { force: true });
  }
  throw new UserError(`${what}: what ${settings.endpoint} sent does not match its checksum ${etag}. Try again`);
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
  if (!isHash(etag)) return true;
  const lfs = etag.length === 64;
  const hash = createHash(lfs ? 'sha256' : 'sha1');
  if (!lfs) hash.update(`blob ${actual}\0`); // as Git hashes a file
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex') === etag;
}

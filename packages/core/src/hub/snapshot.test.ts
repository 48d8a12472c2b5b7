// The hub's client against a local server with the hub's routes: cache layout, resuming, checksums, errors.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { UserError } from '../base/errors.js';
import type { WorkEvent } from '../base/events.js';
import { hubSource, splitFiles } from '../data/hub-source.js';
import { loadTask } from '../tasks/registry.js';
import { commitOf, type HubServer, type ServedRepository, startHubServer } from './fixtures/hub-server.js';
import { hubModel } from './model-files.js';
import { isHubName } from './repository.js';
import type { HubOptions } from './settings.js';
import { hubSnapshot } from './snapshot.js';

const weights = Buffer.alloc(3_000_000, 'weights');
const sha256 = createHash('sha256').update(weights).digest('hex');
const parquet = readFileSync(fileURLToPath(new URL('../../golden/data/snappy-page1.parquet', import.meta.url)));
const lines = (rows: unknown[]): string => rows.map((row) => JSON.stringify(row)).join('\n');
const model = {
  'config.json': '{"a":1}',
  'model.safetensors': weights,
  'tf_model.h5': 'no',
  'onnx/model.onnx': 'no',
  'spiece.model': 'sp',
};
const repositories: Record<string, ServedRepository> = {
  'models/google/mt5-small': { revisions: { main: model, 'a/branch': { 'config.json': '{}' } }, lfs: /safetensors/u },
  'models/google/old': {
    revisions: { main: { 'config.json': '{}', 'pytorch_model.bin': 'weights', 'flax_model.msgpack': 'no' } },
  },
  'models/evil/paths': { revisions: { main: { '../../escape': 'x' } } },
  'models/private/model': { revisions: { main: model }, lfs: /safetensors/u, token: 'secret' },
  'models/owner/chat': {
    revisions: {
      main: {
        'config.json': '{}',
        'model.safetensors': 'weights',
        'chat_template.jinja': '{{ messages }}',
        'additional_chat_templates/tool.jinja': '{{ tools }}',
        'LICENSE.txt': 'Do as you like.',
        'README.md': '---\nlicense: mit\n---\n',
        'flax_model.msgpack': 'x',
        'modeling_own.py': 'x',
      },
    },
  },
  'datasets/aps/super_glue': {
    revisions: {
      main: {
        'README.md': '#',
        'rte/validation-00000-of-00001.jsonl': lines([{ premise: 'P.', hypothesis: 'H.', label: 1 }]),
        'rte/test-00000-of-00001.jsonl': lines([{ premise: 'P.', hypothesis: 'H.', label: -1 }]),
        'cb/validation-00000-of-00001.jsonl': lines([{ premise: 'other' }]),
      },
    },
  },
  'datasets/some/script': {
    revisions: {
      main: { 'script.py': '', 'data/archive.tar.gz': '' },
      'refs/convert/parquet': { 'en/train/0000.parquet': parquet },
    },
    lfs: /parquet$/u,
  },
  'datasets/some/shards': {
    revisions: {
      main: Object.fromEntries(
        [0, 1, 2, 3].map((i) => [
          `data/train-0000${i}-of-00004.jsonl`,
          lines([{ i: 3 * i }, { i: 3 * i + 1 }, { i: 3 * i + 2 }]),
        ]),
      ),
    },
  },
};

let server: HubServer;
const temporary = mkdtempSync(join(tmpdir(), 'promot-hub-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));
let cacheFolder: string;
let options: HubOptions;
beforeAll(async () => {
  server = await startHubServer(repositories);
});
afterAll(() => server.close());
/** Whether a note says that a request is tried again. */
const isRetry = (text: string): boolean => /; attempt \d+ of \d+ follows in /u.test(text);

beforeEach(() => {
  cacheFolder = mkdtempSync(join(temporary, 'cache-'));
  options = { endpoint: server.endpoint, cacheFolder, token: '', offline: false, retryDelay: 0.001 };
  server.fault = () => false;
  server.log.length = 0;
});
afterEach(() => vi.unstubAllEnvs());

const mt5 = { type: 'model', name: 'google/mt5-small' } as const;
const wantWeights = (paths: readonly string[]): string[] => paths.filter((path) => path.endsWith('safetensors'));
const storage = (): string => join(cacheFolder, 'models--google--mt5-small');

async function messageOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(UserError);
  return (error as UserError).message;
}

describe('cache', () => {
  test('has the standard layout; a second call downloads nothing', async () => {
    const progress: WorkEvent[] = [];
    const snapshot = await hubSnapshot(mt5, wantWeights, { ...options, onEvent: (event) => progress.push(event) });
    const commit = commitOf(model);
    expect(snapshot).toEqual({ folder: join(storage(), 'snapshots', commit), commit, files: ['model.safetensors'] });
    const pointer = join(snapshot.folder, 'model.safetensors');
    expect(readFileSync(pointer).equals(weights)).toBe(true);
    expect(lstatSync(pointer).isSymbolicLink()).toBe(true);
    expect(readlinkSync(pointer)).toBe(join('..', '..', 'blobs', sha256));
    expect(readFileSync(join(storage(), 'refs/main'), 'utf8')).toBe(commit);
    expect(readdirSync(join(storage(), 'blobs'))).toEqual([sha256]);
    expect(progress.at(-1)).toEqual({
      type: 'download',
      file: 'model.safetensors',
      received: weights.length,
      total: weights.length,
    });

    server.log.length = 0;
    await hubSnapshot(mt5, wantWeights, options);
    expect(server.log).toEqual([]);
  });

  test('four reads of a data set used to ask for its files four times', async () => {
    for (const split of ['validation', 'validation', 'test'] as const) {
      await hubSource({ name: 'aps/super_glue', config: 'rte' }, options).read(split);
    }
    await hubSource({ name: 'aps/super_glue', config: 'cb' }, options).read('validation');
    expect(server.log.filter((line) => line.includes('/api/'))).toEqual([
      'GET /api/datasets/aps/super_glue/revision/main',
    ]);
  });

  test('a branch with a slash in its name', async () => {
    const { folder } = await hubSnapshot({ ...mt5, revision: 'a/branch' }, (paths) => paths, options);
    expect(readFileSync(join(folder, 'config.json'), 'utf8')).toBe('{}');
    expect(existsSync(join(storage(), 'refs/a/branch'))).toBe(true);
  });

  test('environment variables, as Python reads them', async () => {
    vi.stubEnv('HF_ENDPOINT', `${server.endpoint}/`);
    vi.stubEnv('HF_HUB_CACHE', undefined);
    vi.stubEnv('HF_HOME', join(cacheFolder, 'home'));
    vi.stubEnv('HF_TOKEN', 'secret');
    vi.stubEnv('HF_HUB_OFFLINE', undefined);
    const { folder } = await hubSnapshot({ type: 'model', name: 'private/model' }, wantWeights);
    expect(folder.startsWith(join(cacheFolder, 'home/hub/models--private--model/snapshots'))).toBe(true);
    vi.stubEnv('HF_HUB_CACHE', join(cacheFolder, 'other'));
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect(await messageOf(hubSnapshot({ type: 'model', name: 'private/model' }, wantWeights))).toContain(
      'is not in the cache',
    );
  });

  test('offline mode uses what is cached and asks no server', async () => {
    await hubSnapshot(mt5, wantWeights, options);
    server.log.length = 0;
    const offline = { ...options, offline: true };
    expect((await hubSnapshot(mt5, wantWeights, offline)).files).toEqual(['model.safetensors']);
    expect(
      await messageOf(hubSnapshot(mt5, (paths) => paths.filter((path) => path === 'config.json'), offline)),
    ).toContain('HF_HUB_OFFLINE forbids');
    expect(server.log).toEqual([]);
  });
});

describe('a hub that does not answer', () => {
  const listings = (): number => server.log.filter((line) => line.includes('/api/')).length;
  const refuse = (status: number) => (): void => {
    server.fault = (_request, response) => {
      response.writeHead(status).end();
      return true;
    };
  };
  const cut = (): void => {
    server.fault = (request) => {
      request.socket.destroy();
      return true;
    };
  };

  test.each([
    [
      'cut connections',
      cut,
      /google\/mt5-small: cannot reach 127\.0\.0\.1:\d+ \(.*\); the cached copy is used \(commit [0-9a-f]{7}\)/u,
    ],
    ['429', refuse(429), /too many requests \(429\); the cached copy/u],
    ['503', refuse(503), /the server failed \(503\); the cached copy/u],
  ])('used to fail though all is in the cache: %s', async (_name, fail, message) => {
    const there = await hubSnapshot(mt5, wantWeights, options);
    // Another process has no listing of its own: here another server on the same cache.
    const other = await startHubServer(repositories);
    const [first, warnings] = [server, [] as string[]];
    server = other;
    try {
      fail();
      const later = {
        ...options,
        endpoint: other.endpoint,
        onEvent: (event: WorkEvent) => event.type === 'note' && !isRetry(event.text) && warnings.push(event.text),
      };
      expect(await hubSnapshot(mt5, wantWeights, later)).toEqual(there);
      expect(listings()).toBe(2);
      expect(warnings).toEqual([expect.stringMatching(message)]);
      // Known to be silent: no more waiting, and no more of the same warning. What is not in the cache is tried as
      // ever.
      expect(await hubSnapshot(mt5, wantWeights, later)).toEqual(there);
      expect(listings()).toBe(2);
      await messageOf(hubSnapshot(mt5, (paths) => paths.filter((path) => path === 'config.json'), later));
      expect(listings()).toBe(2 + 5);
      expect(warnings).toHaveLength(1);
    } finally {
      server = first;
      await other.close();
    }
  });

  test('used to be asked ten times, for the converted branch too', async () => {
    refuse(429)();
    const message = await messageOf(hubSource({ name: 'some/script', config: 'en' }, options).read('train'));
    expect(message).toBe('dataset some/script: too many requests (429) (5 attempts). Try again later');
    expect(listings()).toBe(5);
  });

  test('is done without where the cached copy is of the converted branch', async () => {
    await hubSource({ name: 'some/script', config: 'en' }, options).read('train');
    const warnings: string[] = [];
    const unreachable = {
      ...options,
      endpoint: 'http://127.0.0.1:9',
      onEvent: (event: WorkEvent) => event.type === 'note' && !isRetry(event.text) && warnings.push(event.text),
    };
    const table = await hubSource({ name: 'some/script', config: 'en' }, unreachable).read('train');
    expect(table.records).toHaveLength(3);
    expect(warnings).toHaveLength(1);
    const offline = await hubSource({ name: 'some/script', config: 'en' }, { ...options, offline: true }).read('train');
    expect(offline.records).toHaveLength(3);
  });
});

describe('one file, several processes', () => {
  const locks = (): string => join(cacheFolder, '.locks', 'models--google--mt5-small');

  test('two used to append to the same partial file', async () => {
    // In pieces, so that both would be at it at the same time.
    server.fault = (request, response) => {
      if (!request.url!.startsWith('/lfs/')) return false;
      response.writeHead(200, { 'content-length': weights.length });
      void (async () => {
        for (let at = 0; at < weights.length; at += 500_000) {
          response.write(weights.subarray(at, at + 500_000));
          await sleep(20);
        }
        response.end();
      })();
      return true;
    };
    const warnings: string[] = [];
    const both = {
      ...options,
      onEvent: (event: WorkEvent) => event.type === 'note' && !isRetry(event.text) && warnings.push(event.text),
    };
    const snapshots = await Promise.all([hubSnapshot(mt5, wantWeights, both), hubSnapshot(mt5, wantWeights, both)]);
    for (const { folder } of snapshots) {
      expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
    }
    expect(server.log.filter((line) => line.includes('/lfs/'))).toHaveLength(1);
    expect(warnings).toEqual([expect.stringContaining(`waiting for process ${process.pid}, which downloads it`)]);
    expect(readdirSync(join(storage(), 'blobs'))).toEqual([sha256]);
    expect(readdirSync(locks())).toEqual([]);
  });

  test("a dead process's lock is void, and what it left is gone on with", async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '0']);
    mkdirSync(locks(), { recursive: true });
    mkdirSync(join(storage(), 'blobs'), { recursive: true });
    writeFileSync(join(locks(), `${sha256}.promot-lock`), JSON.stringify({ pid, host: hostname(), id: 'x' }));
    writeFileSync(join(storage(), 'blobs', `${sha256}.incomplete`), weights.subarray(0, 1_000_000));
    await hubSnapshot(mt5, wantWeights, options);
    expect(server.log.at(-1)).toContain('bytes=1000000-');
    expect(readdirSync(locks())).toEqual([]);
  });
});

describe('downloads', () => {
  /** Answers the first `times` downloads of the weights with only the first `bytes` bytes, then cuts the connection. */
  const cutAfter = (bytes: number, times: number): void => {
    let left = times;
    server.fault = (request, response) => {
      if (!request.url!.startsWith('/lfs/') || left-- <= 0) return false;
      const from = Number(/\d+/u.exec(request.headers.range ?? '0')![0]);
      const headers = from > 0 ? { 'content-range': `bytes ${from}-${weights.length - 1}/${weights.length}` } : {};
      response.writeHead(from > 0 ? 206 : 200, { ...headers, 'content-length': weights.length - from });
      response.write(weights.subarray(from, from + bytes), () => setTimeout(() => response.destroy(), 20));
      return true;
    };
  };

  test('go on where a cut connection left them, however often it is cut', async () => {
    cutAfter(300_000, 8);
    const { folder } = await hubSnapshot(mt5, wantWeights, options);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
    const starts = server.log
      .filter((line) => line.includes('/lfs/'))
      .map((line) => Number(/bytes=(\d+)-/u.exec(line)?.[1] ?? 0));
    expect(starts).toHaveLength(9);
    // On a busy machine not all that was sent is read before the cut; what was read is never asked for again.
    expect(starts).toEqual([...starts].sort((x, y) => x - y));
    expect(starts.at(-1)).toBeGreaterThan(0);
    starts.forEach((start, i) => {
      expect(start).toBeLessThanOrEqual(300_000 * i);
    });
  });

  test('a later run goes on where an earlier one stopped', async () => {
    cutAfter(0, 99);
    mkdirSync(join(storage(), 'blobs'), { recursive: true });
    writeFileSync(join(storage(), 'blobs', `${sha256}.incomplete`), weights.subarray(0, 1_000_000));
    expect(await messageOf(hubSnapshot(mt5, wantWeights, options))).toContain('the connection was cut');
    expect(statSync(join(storage(), 'blobs', `${sha256}.incomplete`)).size).toBe(1_000_000);
    expect(existsSync(join(storage(), 'refs'))).toBe(false);
    server.fault = () => false;
    server.log.length = 0;
    await hubSnapshot(mt5, wantWeights, options);
    expect(server.log.at(-1)).toContain('bytes=1000000-');
    expect(readdirSync(join(storage(), 'blobs'))).toEqual([sha256]);
  });

  test.each([
    ['damaged', Buffer.alloc(1_000_000, 'x')],
    ['complete but damaged', Buffer.alloc(weights.length, 'x')],
    ['too long', Buffer.concat([weights, weights])],
  ])('a partial file that is %s is thrown away', async (_name, partial) => {
    mkdirSync(join(storage(), 'blobs'), { recursive: true });
    writeFileSync(join(storage(), 'blobs', `${sha256}.incomplete`), partial);
    const { folder } = await hubSnapshot(mt5, wantWeights, options);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
  });

  test('content that does not match its checksum is refused and not kept', async () => {
    server.fault = (request, response) => {
      if (!request.url!.startsWith('/lfs/')) return false;
      response.end(Buffer.alloc(weights.length, 'wrong'));
      return true;
    };
    expect(await messageOf(hubSnapshot(mt5, wantWeights, options))).toContain(`does not match its checksum ${sha256}`);
    expect(readdirSync(join(storage(), 'blobs'))).toEqual([]);
  });

  test('small files are checked against Git hashes', async () => {
    server.fault = (request, response) => {
      if (!request.url!.endsWith('config.json') || request.method === 'HEAD') return false;
      response.end('{"a":2}');
      return true;
    };
    expect(await messageOf(hubSnapshot(mt5, () => ['config.json'], options))).toContain('does not match its checksum');
  });

  test.skipIf(!existsSync('/dev/full'))('a full disk used to be told as a cut connection, five times', async () => {
    mkdirSync(join(storage(), 'blobs'), { recursive: true });
    symlinkSync('/dev/full', join(storage(), 'blobs', `${sha256}.incomplete`));
    expect(await messageOf(hubSnapshot(mt5, wantWeights, options))).toMatch(
      /model\.safetensors of model google\/mt5-small: cannot write .*\.incomplete \(ENOSPC: no space left on device, write\)/u,
    );
    expect(server.log.filter((line) => line.includes('/lfs/'))).toHaveLength(1);
  });

  test('more bytes than announced are refused', async () => {
    server.fault = (request, response) => {
      if (!request.url!.startsWith('/lfs/')) return false;
      response.end(Buffer.concat([weights, weights]));
      return true;
    };
    expect(await messageOf(hubSnapshot(mt5, wantWeights, options))).toContain('more than the 3000000 bytes');
  });

  test('can be cancelled', async () => {
    const controller = new AbortController();
    const cancelled = hubSnapshot(mt5, wantWeights, {
      ...options,
      signal: controller.signal,
      onEvent: () => controller.abort(),
    });
    await expect(cancelled).rejects.toThrow(/abort/iu);
  });
});

describe('errors', () => {
  test('a private repository needs the token, which goes to the hub alone', async () => {
    const repository = { type: 'model', name: 'private/model' } as const;
    expect(await messageOf(hubSnapshot(repository, wantWeights, options))).toMatch(
      /private\/model does not exist or is not public \(401.*set HF_TOKEN/u,
    );
    expect(await messageOf(hubSnapshot(repository, wantWeights, { ...options, token: 'wrong' }))).toContain(
      'the token in HF_TOKEN may not',
    );
    await hubSnapshot(repository, wantWeights, { ...options, token: 'secret' });
    expect(server.log.filter((line) => line.includes('/lfs/'))).toHaveLength(1);
    expect(server.leaked).toEqual([]);
  });

  test('404: repository, revision', async () => {
    const none = hubSnapshot({ type: 'model', name: 'no/model' }, wantWeights, { ...options, token: 'x' });
    expect(await messageOf(none)).toMatch(/model no\/model does not exist on http:.*\(404\)/u);
    const revision = hubSnapshot({ ...mt5, revision: 'v9' }, wantWeights, options);
    expect(await messageOf(revision)).toContain('model google/mt5-small (revision v9) does not exist');
  });

  test('429 and 5xx: again after the time the server asks for, a few times', async () => {
    let requests = 0;
    server.fault = (_request, response) => {
      requests++;
      if (requests > 2) return false;
      response.writeHead(requests === 1 ? 429 : 503, { 'retry-after': '0.01' }).end();
      return true;
    };
    await hubSnapshot(mt5, wantWeights, options);
    server.fault = (_request, response) => {
      response.writeHead(429).end();
      return true;
    };
    const empty = { ...options, cacheFolder: join(cacheFolder, 'empty') };
    expect(await messageOf(hubSnapshot(mt5, wantWeights, empty))).toBe(
      'model google/mt5-small: too many requests (429) (5 attempts). Try again later',
    );
  });

  test('no server', async () => {
    const unreachable = { ...options, endpoint: 'http://127.0.0.1:9' };
    expect(await messageOf(hubSnapshot(mt5, wantWeights, unreachable))).toMatch(/cannot reach 127\.0\.0\.1:9/u);
  });

  test('a server that is no hub, endless redirects', async () => {
    server.fault = (_request, response) => {
      response.end('<html>');
      return true;
    };
    expect(await messageOf(hubSnapshot(mt5, wantWeights, options))).toContain('is http');
    server.fault = (_request, response) => {
      response.writeHead(302, { location: '/again' }).end();
      return true;
    };
    expect(await messageOf(hubSnapshot(mt5, wantWeights, options))).toContain('redirects too often');
  });

  test('no path leaves the cache', async () => {
    expect(await messageOf(hubSnapshot({ type: 'model', name: 'evil/paths' }, (paths) => paths, options))).toContain(
      'unsafe file',
    );
    expect(await messageOf(hubSnapshot({ type: 'model', name: '../x' }, wantWeights, options))).toContain(
      'is not the name',
    );
    expect(await messageOf(hubSnapshot({ ...mt5, revision: '../x' }, wantWeights, options))).toContain('unsafe file');
    expect(['google/mt5-small', 'a/b.c'].every(isHubName)).toBe(true);
    expect(['mt5', '../x', './x', 'a/b/c', '/a', 'a/..'].some(isHubName)).toBe(false);
  });
});

describe('models', () => {
  test('safetensors before PyTorch files, no other frameworks', async () => {
    expect(readdirSync(await hubModel('google/mt5-small', options)).sort()).toEqual([
      'config.json',
      'model.safetensors',
      'spiece.model',
    ]);
    expect(readdirSync(await hubModel('google/old', options)).sort()).toEqual(['config.json', 'pytorch_model.bin']);
  });

  test('chat templates, licence and card, which a saved model keeps; no code', async () => {
    const folder = await hubModel('owner/chat', options);
    expect((readdirSync(folder, { recursive: true }) as string[]).sort()).toEqual([
      'LICENSE.txt',
      'README.md',
      'additional_chat_templates',
      join('additional_chat_templates', 'tool.jinja'),
      'chat_template.jinja',
      'config.json',
      'model.safetensors',
    ]);
  });
});

describe('data sets', () => {
  test('a task by its hub name', async () => {
    const warnings: string[] = [];
    const task = await loadTask('rte', {
      hub: options,
      onWarning: (message) => isRetry(message) || warnings.push(message),
    });
    const examples = await task.load('validation');
    expect(examples.map(({ target }) => target)).toEqual(['False']);
    expect(examples[0]!.location).toBe('aps/super_glue rte/validation-00000-of-00001.jsonl line 1');
    expect(warnings).toHaveLength(1);
    expect(await messageOf(task.load('test'))).toContain(
      'aps/super_glue/rte on the hub has no test split; it has train, validation',
    );
    expect(server.log.some((line) => line.includes('/cb/'))).toBe(false);
  });

  test('the converted branch stands in where the main one has no data files', async () => {
    const table = await hubSource({ name: 'some/script', config: 'en' }, options).read('train');
    expect(table.records).toHaveLength(3);
    expect(table.location(2)).toBe('some/script en/train/0000.parquet row 3');
    expect(await messageOf(hubSource({ name: 'some/script', config: 'de' }, options).read('train'))).toContain(
      'dataset some/script has none of the files that are needed',
    );
  });

  test('several files, all or an even sample', async () => {
    const all = await hubSource({ name: 'some/shards' }, options).read('train');
    expect(all.records.map(({ i }) => i)).toEqual(Array.from({ length: 12 }, (_, i) => i));
    expect(all.location(11)).toBe('some/shards data/train-00003-of-00004.jsonl line 3');
    const sample = await hubSource({ name: 'some/shards', maxFiles: 2, maxRows: 4 }, options).read('train');
    expect(sample.records.map(({ i }) => i)).toEqual([0, 1, 6, 7]);
  });

  test('offline, a cached sample is enough for itself and too little for all', async () => {
    await hubSource({ name: 'some/shards', maxFiles: 2 }, options).read('train');
    const offline = { ...options, offline: true };
    const sample = await hubSource({ name: 'some/shards', maxFiles: 2 }, offline).read('train');
    expect(sample.records.map(({ i }) => i)).toEqual([0, 1, 2, 6, 7, 8]);
    expect(await messageOf(hubSource({ name: 'some/shards' }, offline).read('train'))).toContain(
      'only 2 of the 4 files',
    );
  });

  test.each([
    [
      ['rte/train-00000-of-00001.parquet', 'rte/test-0.parquet', 'cb/train-0.parquet'],
      'train',
      'rte',
      ['rte/train-00000-of-00001.parquet'],
    ],
    [
      ['data/validation-00000-of-00001.parquet', 'README.md'],
      'validation',
      undefined,
      ['data/validation-00000-of-00001.parquet'],
    ],
    [['dev.jsonl', 'devices.jsonl', 'x/dev.jsonl'], 'validation', undefined, ['dev.jsonl']],
    [['train.jsonl', 'train.parquet', 'constraint.parquet'], 'train', undefined, ['train.parquet']],
    [['all/race-train.parquet', 'high/race-train.parquet'], 'train', 'all', ['all/race-train.parquet']],
    [['latest.jsonl'], 'test', undefined, []],
    // WikiLingua has samples of its splits beside them, which used to be taken for the splits.
    [['en/sampled_test/0000.parquet', 'en/test/0000.parquet'], 'test', 'en', ['en/test/0000.parquet']],
    [
      ['en/sampled_validation/0000.parquet', 'en/validation/0000.parquet'],
      'validation',
      'en',
      ['en/validation/0000.parquet'],
    ],
    [
      ['en/wiki_lingua-sampled_test.parquet', 'en/wiki_lingua-test.parquet'],
      'test',
      'en',
      ['en/wiki_lingua-test.parquet'],
    ],
    [
      ['en/wiki_lingua-sampled_validation.parquet', 'en/wiki_lingua-validation.parquet'],
      'validation',
      'en',
      ['en/wiki_lingua-validation.parquet'],
    ],
  ] as const)('files of a split: %j %s %s', (paths, split, config, files) => {
    expect(splitFiles(paths, split, { config })).toEqual(files);
  });

  test('an incomplete set of numbered files is refused', () => {
    expect(() => splitFiles(['data/train-00000-of-00002.parquet'], 'train')).toThrow('only 1 of the 2 files');
  });
});

describe('a server that lies or falls silent', () => {
  const notes: string[] = [];
  const hear = (event: WorkEvent) => event.type === 'note' && notes.push(event.text);
  const failure = async (): Promise<string> => {
    notes.length = 0;
    const error: unknown = await hubSnapshot(mt5, wantWeights, { ...options, silence: 0.15, onEvent: hear }).catch(
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(UserError);
    return (error as UserError).message;
  };

  test('no answer: each attempt is told, and there is an end', async () => {
    server.fault = () => true;
    expect(await failure()).toMatch(/^model google\/mt5-small: .* has sent nothing for 0\.15 s \(5 attempts\)/);
    expect(notes).toHaveLength(4);
    expect(notes[0]).toMatch(/has sent nothing for 0\.15 s; attempt 2 of 5 follows in 0\.001 s$/);
  });

  test('silence in the midst of a list', async () => {
    server.fault = (request, response) => {
      if (!request.url?.startsWith('/api/')) return false;
      response.writeHead(200).write('{"sha":');
      return true;
    };
    expect(await failure()).toMatch(/has sent nothing for 0\.15 s \(5 attempts\)/);
  });

  test('a list without end', async () => {
    server.fault = (request, response) => {
      if (!request.url?.startsWith('/api/')) return false;
      response.writeHead(200);
      endless(response);
      return true;
    };
    expect(await failure()).toMatch(/sends a list of more than 64 MiB: it is not read/);
  });

  test('a file without size and end', async () => {
    server.fault = (request, response) => {
      if (request.url?.startsWith('/api/')) return false;
      response.writeHead(200, { etag: '"0123456789"' });
      if (request.method === 'HEAD') response.end();
      else endless(response);
      return true;
    };
    expect(await failure()).toMatch(/does not say how large it is, and sends more than 64 MiB/);
  });

  test('the same etag for every file, which is no hash: each file is its own', async () => {
    server.fault = (request, response) => {
      if (request.method !== 'HEAD') return false;
      response.writeHead(200, { etag: '"abc"' }).end();
      return true;
    };
    const { folder } = await hubSnapshot(mt5, () => ['config.json', 'model.safetensors'], options);
    expect(readFileSync(join(folder, 'config.json'), 'utf8')).toBe(model['config.json']);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
  });

  test('a list with holes in it', async () => {
    server.fault = (request, response) => {
      if (!request.url?.startsWith('/api/')) return false;
      response.writeHead(200).end(JSON.stringify({ sha: 'a'.repeat(40), siblings: [null, 3, {}] }));
      return true;
    };
    expect(await failure()).toMatch(/has none of the files that are needed/);
  });
});

function endless(response: import('node:http').ServerResponse): void {
  const piece = Buffer.alloc(1 << 20, ' ');
  const more = (): void => {
    while (!response.destroyed && response.write(piece));
  };
  response.on('drain', more);
  more();
}

import { randomBytes } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { serve, temporaryFolder } from '../../test/setup.js';
import { FetchError, fetchFile } from './fetch-file.js';
import type { SetupEvent } from './progress.js';

const content = randomBytes(300_000);

/** Answers like a good server: whole, or the rest if the ETag is still the same. */
function answer(
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
  etag: string,
  cut?: { after: number; part: string },
): void {
  const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
  const start = range && request.headers['if-range'] === etag ? Number(range[1]) : 0;
  const headers: Record<string, string | number> = { etag, 'content-length': body.length - start };
  if (start > 0) headers['content-range'] = `bytes ${start}-${body.length - 1}/${body.length}`;
  response.writeHead(start > 0 ? 206 : 200, headers);
  if (cut === undefined) return void response.end(body.subarray(start));
  // The end is torn off once the bytes have arrived.
  const end = start + cut.after;
  response.write(body.subarray(start, end));
  const timer = setInterval(() => {
    if (!existsSync(cut.part) || statSync(cut.part).size < end) return;
    clearInterval(timer);
    response.destroy();
  }, 5);
}

async function setting() {
  const folder = await temporaryFolder();
  const events: SetupEvent[] = [];
  const options = { onProgress: (event: SetupEvent) => events.push(event), label: 'file', retryDelay: 0.001 };
  return { folder, path: join(folder, 'file'), events, options };
}

test('downloads a file, with progress', async () => {
  const url = await serve((request, response) => answer(request, response, content, '"1"'));
  const { folder, path, events, options } = await setting();
  await fetchFile(url, path, options);
  expect((await readFile(path)).equals(content)).toBe(true);
  expect(await readdir(folder)).toEqual(['file']);
  expect(events.at(-1)).toMatchObject({ done: content.length, total: content.length });
});

test('goes on where the connection was cut, as often as it takes', async () => {
  const starts: string[] = [];
  const { path, options } = await setting();
  const cut = { after: 40_000, part: `${path}.part` };
  const url = await serve((request, response) => {
    starts.push(request.headers.range ?? 'whole');
    answer(request, response, content, '"1"', starts.length < 8 ? cut : undefined);
  });
  await fetchFile(url, path, options);
  expect((await readFile(path)).equals(content)).toBe(true);
  expect(starts).toEqual(['whole', ...[1, 2, 3, 4, 5, 6, 7].map((n) => `bytes=${n * 40_000}-`)]);
});

test('a later process goes on with what a killed one left', async () => {
  const ranges: (string | undefined)[] = [];
  const url = await serve((request, response) => {
    ranges.push(request.headers.range);
    answer(request, response, content, '"1"');
  });
  const { path, options } = await setting();
  await writeFile(`${path}.part`, content.subarray(0, 1000));
  await writeFile(`${path}.part.json`, JSON.stringify({ url, version: '"1"' }));
  await fetchFile(url, path, options);
  expect(ranges).toEqual(['bytes=1000-']);
  expect((await readFile(path)).equals(content)).toBe(true);
});

test.each([
  ['the file has changed since', '"2"', true],
  ['they are of another address', '"1"', false],
])('starts anew when the bytes at hand do not fit: %s', async (_what, etag, sameUrl) => {
  const url = await serve((request, response) => answer(request, response, content, etag));
  const { path, options } = await setting();
  await writeFile(`${path}.part`, 'something else');
  await writeFile(`${path}.part.json`, JSON.stringify({ url: sameUrl ? url : `${url}/other`, version: '"1"' }));
  await fetchFile(url, path, options);
  expect((await readFile(path)).equals(content)).toBe(true);
});

test('starts anew when the server has fewer bytes than are at hand', async () => {
  const url = await serve((request, response) => {
    if (request.headers.range) response.writeHead(416).end();
    else answer(request, response, content, '"1"');
  });
  const { path, options } = await setting();
  await writeFile(`${path}.part`, Buffer.alloc(content.length + 5));
  await writeFile(`${path}.part.json`, JSON.stringify({ url, version: '"1"' }));
  await fetchFile(url, path, options);
  expect((await readFile(path)).equals(content)).toBe(true);
});

test('a missing file is an error at once', async () => {
  let requests = 0;
  const url = await serve((_request, response) => {
    requests++;
    response.writeHead(404).end();
  });
  const { folder, path, options } = await setting();
  await expect(fetchFile(url, path, options)).rejects.toThrow(/answers HTTP 404/);
  expect(requests).toBe(1);
  expect(await readdir(folder)).toEqual([]);
});

test('a server that fails is asked five times', async () => {
  let requests = 0;
  const url = await serve((_request, response) => {
    requests++;
    response.writeHead(503).end();
  });
  const { path, options } = await setting();
  await expect(fetchFile(url, path, options)).rejects.toThrow(/the server failed \(503\)/);
  expect(requests).toBe(5);
});

test('a host that cannot be reached is an error at once', async () => {
  const { path, options } = await setting();
  const failing = fetchFile('http://127.0.0.1:1/file', path, options);
  await expect(failing).rejects.toThrow(FetchError);
  await expect(failing).rejects.toThrow(/cannot reach 127/);
});

// No test here needs a network: archives come from loopback, wheels for pip lie in a folder.
import { spawnSync } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { libtorchFiles, serve, temporaryFolder } from '../../test/setup.js';
import { zip } from '../../test/zip.js';
import { archiveUrl, downloadLibtorch, neededFile } from './download.js';
import { downloadedLibtorch, libraryName, PINNED_VERSION } from './locate.js';
import type { SetupEvent } from './progress.js';

let cache: string;
let events: SetupEvent[];
const onProgress = (event: SetupEvent) => events.push(event);

beforeEach(async () => {
  events = [];
  cache = await temporaryFolder();
  vi.stubEnv('PROMOT_CACHE', cache);
});
afterEach(() => vi.unstubAllEnvs());

/** A zip archive of what libtorch consists of, under a prefix. */
function archive(prefix: string, extra: Record<string, string> = {}): Buffer {
  const files = Object.entries({ ...libtorchFiles(PINNED_VERSION), ...extra });
  return zip(files.map(([name, data]) => ({ name: name.startsWith('/') ? name.slice(1) : prefix + name, data })));
}

test('archives are published for Linux x64 and macOS arm64', () => {
  expect(archiveUrl('linux', 'x64')).toMatch(/libtorch-shared-with-deps-2\.13\.0%2Bcpu\.zip$/);
  expect(archiveUrl('darwin', 'arm64')).toMatch(/libtorch-macos-arm64-2\.13\.0\.zip$/);
  expect(archiveUrl('linux', 'arm64')).toBeUndefined();
});

test('of an archive only what is needed is kept', () => {
  expect(neededFile('torch/lib/libc10.so', 'torch/')).toBe('lib/libc10.so');
  expect(neededFile('torch/include/ATen/ATen.h', 'torch/')).toBe('include/ATen/ATen.h');
  expect(neededFile('torch/version.py', 'torch/')).toBe('version.py');
  for (const name of ['torch/nn/lib/x.py', 'torch/lib/libx.a', 'torch/lib/libtorch_python.so', 'other/lib/libc10.so']) {
    expect(neededFile(name, 'torch/')).toBeUndefined();
  }
});

describe('the archive', () => {
  test('is fetched once, even by two at once, and leaves only libtorch', async () => {
    let requests = 0;
    const url = await serve((_request, response) => {
      requests++;
      response.end(archive('libtorch/'));
    });
    const both = await Promise.all([downloadLibtorch(onProgress, url), downloadLibtorch(onProgress, url)]);
    for (const found of both) expect(found).toMatchObject({ version: PINNED_VERSION, source: 'cache' });
    expect(requests).toBe(1);
    await downloadLibtorch(onProgress, url);
    expect(requests).toBe(1);
    expect((await readdir(cache)).sort()).toEqual(['downloads', dirname(downloadedLibtorch()).slice(cache.length + 1)]);
    expect(await readdir(join(cache, 'downloads'))).toEqual([]);
  });

  test('if damaged is thrown away, and the message tells of both ways', async () => {
    vi.stubEnv('PATH', '');
    vi.stubEnv('VIRTUAL_ENV', '');
    const url = await serve((_request, response) => response.end('<html>not a zip</html>'));
    const failing = downloadLibtorch(onProgress, url);
    await expect(failing).rejects.toThrow(/the archive is damaged/);
    await expect(failing).rejects.toThrow(/no python3 with pip.*LIBTORCH.*pip install/s);
    expect(await readdir(join(cache, 'downloads'))).toEqual([]);
  });

  test('if it is not libtorch is thrown away', async () => {
    vi.stubEnv('PATH', '');
    vi.stubEnv('VIRTUAL_ENV', '');
    const url = await serve((_request, response) => response.end(zip([{ name: 'libtorch/lib/x', data: '' }])));
    await expect(downloadLibtorch(onProgress, url)).rejects.toThrow(/it has no lib/);
    expect(await readdir(cache)).toEqual(['downloads']);
  });
});

/** A minimal wheel that pip accepts. */
async function writeWheel(
  folder: string,
  name: string,
  version: string,
  files: Record<string, string>,
  needs?: string,
) {
  const info = `${name}-${version}.dist-info`;
  const metadata = [
    'Metadata-Version: 2.1',
    `Name: ${name}`,
    `Version: ${version}`,
    ...(needs ? [`Requires-Dist: ${needs}`] : []),
  ];
  const all: Record<string, string> = {
    ...files,
    [`${info}/METADATA`]: `${metadata.join('\n')}\n`,
    [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
  };
  const record = [...Object.keys(all), `${info}/RECORD`].map((path) => `${path},,`).join('\n');
  const entries = Object.entries({ ...all, [`${info}/RECORD`]: `${record}\n` });
  await mkdir(folder, { recursive: true });
  const bytes = zip(entries.map(([path, data]) => ({ name: path, data })));
  await writeFile(join(folder, `${name}-${version}-py3-none-any.whl`), bytes);
}

const hasPip = spawnSync('python3', ['-m', 'pip', '--version']).status === 0;

describe.skipIf(!hasPip)('through pip', () => {
  const torchFiles = (extra: Record<string, string> = {}) => {
    const files = Object.entries({ ...libtorchFiles(PINNED_VERSION), 'nn/module.py': '', ...extra });
    return Object.fromEntries(files.map(([name, data]) => [`torch/${name}`, data]));
  };
  let wheels: string;
  beforeEach(async () => {
    wheels = await temporaryFolder();
    vi.stubEnv('PIP_NO_INDEX', '1');
    vi.stubEnv('PIP_FIND_LINKS', wheels);
    vi.stubEnv('PIP_CONFIG_FILE', '/dev/null');
  });

  test("the wheel is used where the archive cannot be had; a CUDA build gets NVIDIA's libraries, too", async () => {
    const cuda = { [`lib/${libraryName('torch_cuda')}`]: '' };
    await writeWheel(wheels, 'torch', PINNED_VERSION, torchFiles(cuda), 'nvidia-stub');
    await writeWheel(wheels, 'nvidia_stub', '1.0', { 'nvidia/cublas/lib/libcublas.so.12': '' });
    const url = await serve((_request, response) => response.writeHead(404).end());
    const found = await downloadLibtorch(onProgress, url);
    expect(found).toMatchObject({ version: PINNED_VERSION, cuda: true });
    expect((await readdir(found.root)).sort()).toEqual(['build-version', 'include', 'lib']);
    expect((await readdir(cache)).sort()).toEqual(['downloads', dirname(found.root).slice(cache.length + 1)]);
    expect(await readdir(join(found.root, '..', 'nvidia', 'cublas', 'lib'))).toEqual(['libcublas.so.12']);
  });

  test('what pip says is in the message', async () => {
    await expect(downloadLibtorch(onProgress, '')).rejects.toThrow(/pip says "No matching distribution found/);
    expect(await readdir(cache)).toEqual([]);
  });
});

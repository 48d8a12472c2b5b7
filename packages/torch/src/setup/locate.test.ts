import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { libtorchFiles, temporaryFolder, writeFiles } from '../../test/setup.js';
import { downloadedLibtorch, examine, libraryName, locateLibtorch, unfitVersion } from './locate.js';

test('2.4 and later 2.x fit; others are refused by name', () => {
  for (const version of ['2.4.0', '2.11.1+cu128', '2.13.0+cpu', '2.14.0a0+git1234']) {
    expect(unfitVersion(version)).toBeUndefined();
  }
  for (const version of ['2.3.1', '1.13.1', '3.0.0', 'nightly']) expect(unfitVersion(version)).toContain(version);
});

describe('examine', () => {
  test('reads an archive, a wheel and bare headers', async () => {
    const { 'build-version': _, ...bare } = libtorchFiles();
    const header = '#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 9\n#define TORCH_VERSION_PATCH 1\n';
    const kinds: [Record<string, string>, string][] = [
      [libtorchFiles('2.13.0+cpu'), '2.13.0+cpu'],
      [{ ...bare, 'version.py': "__version__ = '2.11.0+cu128'\n" }, '2.11.0+cu128'],
      [{ ...bare, 'include/torch/headeronly/version.h': header }, '2.9.1'],
    ];
    for (const [files, version] of kinds) {
      const folder = await writeFiles(await temporaryFolder(), files);
      expect(await examine(folder, 'cache')).toMatchObject({ version, cuda: false, cxx11Abi: true });
    }
  });

  test('sees CUDA, and on Linux the old ABI', async () => {
    const folder = await writeFiles(await temporaryFolder(), {
      ...libtorchFiles(),
      [`lib/${libraryName('torch_cuda')}`]: '',
      [`lib/${libraryName('c10')}`]: 'torchCheckFailEPKcS2_jRKSs',
    });
    expect(await examine(folder, 'cache')).toMatchObject({ cuda: true, cxx11Abi: process.platform !== 'linux' });
  });

  test.each([
    [`lib/${libraryName('torch_cpu')}`, /no lib\/libtorch_cpu/],
    ['include/ATen/core/dispatch/Dispatcher.h', /no C\+\+ headers/],
    ['build-version', /version cannot be read/],
  ])('says what is missing: %s', async (name, message) => {
    const { [name]: _, ...files } = libtorchFiles();
    expect(await examine(await writeFiles(await temporaryFolder(), files), 'cache')).toMatch(message);
  });
});

/** A stand-in for a Python whose torch is in this folder. */
async function pythonWith(folder: string): Promise<string> {
  const environment = await temporaryFolder();
  await mkdir(join(environment, 'bin'));
  await writeFile(join(environment, 'bin', 'python'), `#!/bin/sh\necho ${folder}/__init__.py\n`);
  await chmod(join(environment, 'bin', 'python'), 0o755);
  return environment;
}

describe('locateLibtorch', () => {
  test('asks LIBTORCH first, then Python, then the cache', async () => {
    const given = await writeFiles(await temporaryFolder(), libtorchFiles('2.5.0'));
    const inPython = await writeFiles(await temporaryFolder(), libtorchFiles('2.6.0'));
    const cache = await temporaryFolder();
    const env: NodeJS.ProcessEnv = { PATH: '', PROMOT_CACHE: cache };
    expect(await locateLibtorch(env)).toEqual({ notes: [] });
    await writeFiles(downloadedLibtorch(undefined, env), libtorchFiles('2.13.0'));
    expect((await locateLibtorch(env)).libtorch).toMatchObject({ version: '2.13.0', source: 'cache' });
    env.VIRTUAL_ENV = await pythonWith(inPython);
    expect((await locateLibtorch(env)).libtorch).toMatchObject({ version: '2.6.0', source: 'python' });
    env.LIBTORCH = given;
    expect((await locateLibtorch(env)).libtorch).toMatchObject({ version: '2.5.0', source: 'LIBTORCH' });
  });

  test('a wrong LIBTORCH is an error; an old torch in Python is passed over with a note', async () => {
    const old = await writeFiles(await temporaryFolder(), libtorchFiles('2.1.0'));
    const env = { PATH: '', PROMOT_CACHE: await temporaryFolder() };
    await expect(locateLibtorch({ ...env, LIBTORCH: '/nowhere' })).rejects.toThrow('there is no such folder');
    await expect(locateLibtorch({ ...env, LIBTORCH: old })).rejects.toThrow('2.4 or a later 2.x is needed');
    const { libtorch, notes } = await locateLibtorch({ ...env, VIRTUAL_ENV: await pythonWith(old) });
    expect(libtorch).toBeUndefined();
    expect(notes).toEqual([expect.stringContaining('it is libtorch 2.1.0')]);
  });
});

// Builds a small addon against a stand-in for libtorch (empty libraries), so that it takes a moment.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { chmod, readFile, readlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { libtorchFiles, temporaryFolder, writeFiles } from '../../test/setup.js';
import { buildAddon, type Compiler, compilerAdvice, findCompiler, readSources } from './build.js';
import { examine, type Libtorch, libraryName } from './locate.js';

const NOTHING = () => undefined;
const compilerThere = spawnSync('c++', ['--version']).status === 0;

const ANSWER = 'int answer() { return 42; }\n';
const ADDON = `#include <node_api.h>
#include "answer.h"
NAPI_MODULE_INIT() {
  napi_value value;
  napi_create_int32(env, answer(), &value);
  napi_set_named_property(env, exports, "answer", value);
  return exports;
}
`;

afterEach(() => vi.unstubAllEnvs());

describe.skipIf(!compilerThere)('buildAddon', () => {
  let native: string;
  let libtorch: Libtorch;
  let compiler: Compiler;
  let log: string;

  beforeEach(async () => {
    vi.stubEnv('PROMOT_CACHE', await temporaryFolder());
    native = await writeFiles(await temporaryFolder(), {
      'answer.cc': ANSWER,
      'answer.h': 'int answer();\n',
      'addon.cc': ADDON,
    });
    const root = await writeFiles(await temporaryFolder(), libtorchFiles());
    for (const name of ['torch', 'torch_cpu', 'c10']) {
      const made = spawnSync('c++', ['-shared', '-x', 'c++', '/dev/null', '-o', join(root, 'lib', libraryName(name))]);
      expect(made.status).toBe(0);
    }
    const found = await examine(root, 'cache');
    if (typeof found === 'string') throw new Error(found);
    libtorch = found;
    // A compiler that writes down what it is asked to compile or link.
    const folder = await temporaryFolder();
    log = join(folder, 'log');
    const command = join(folder, 'cxx');
    await writeFile(log, '');
    await writeFile(command, `#!/bin/sh\nfor a; do last=$a; done\necho "$last" >> ${log}\nexec c++ "$@"\n`);
    await chmod(command, 0o755);
    compiler = { command, version: 'test' };
  });

  const runs = async () => (await readFile(log, 'utf8')).split('\n').length - 1;

  test('makes an addon that loads, beside a link to the libraries', async () => {
    const addon = await buildAddon(libtorch, compiler, NOTHING, native);
    expect(createRequire(import.meta.url)(addon)).toEqual({ answer: 42 });
    expect(await readlink(join(dirname(addon), 'libtorch'))).toBe(join(libtorch.root, 'lib'));
  });

  test('compiles nothing twice', async () => {
    const first = await buildAddon(libtorch, compiler, NOTHING, native);
    expect(await runs()).toBe(3); // Two sources and the link.
    expect(await buildAddon(libtorch, compiler, NOTHING, native)).toBe(first);
    expect(await runs()).toBe(3);

    await writeFile(join(native, 'answer.cc'), ANSWER.replace('42', '43'));
    const second = await buildAddon(libtorch, compiler, NOTHING, native);
    expect(await runs()).toBe(5); // One source and the link.
    expect(createRequire(import.meta.url)(second)).toEqual({ answer: 43 });

    await writeFile(join(native, 'answer.h'), 'int answer(); // changed\n');
    await buildAddon(libtorch, compiler, NOTHING, native);
    expect(await runs()).toBe(8);
  });

  test('a source that another includes is a part of it', async () => {
    await writeFile(join(native, 'unit.cc'), '#include "addon.cc"\n#include "answer.cc"\n');
    await buildAddon(libtorch, compiler, NOTHING, native);
    expect(await runs()).toBe(2); // One unit and the link.
    await writeFile(join(native, 'answer.cc'), ANSWER.replace('42', '43'));
    const changed = await buildAddon(libtorch, compiler, NOTHING, native);
    expect(await runs()).toBe(4);
    expect(createRequire(import.meta.url)(changed)).toEqual({ answer: 43 });
  });

  test('two at once share the work', async () => {
    const both = [1, 2].map(() => buildAddon(libtorch, compiler, NOTHING, native));
    const [first, second] = await Promise.all(both);
    expect(first).toBe(second);
    expect(await runs()).toBe(3);
  });

  test('says where the source is wrong', async () => {
    await writeFile(join(native, 'answer.cc'), 'int answer() { return nonsense; }\n');
    const failing = buildAddon(libtorch, compiler, NOTHING, native);
    await expect(failing).rejects.toThrow(/test failed \(answer\.cc\):\n.*answer\.cc:1.*nonsense/s);
  });

  test('says which function is missing when the addon does not load', async () => {
    await writeFile(join(native, 'answer.cc'), '\n');
    // The linker leaves the name open, as it does for those of Node.js itself.
    await expect(buildAddon(libtorch, compiler, NOTHING, native)).rejects.toThrow(/does not load: .*answer/);
  });
});

test('the sources of the package are found', async () => {
  const { units, hash } = await readSources();
  expect(units.map(({ source }) => basename(source))).toEqual(['unit-addon.cc', 'unit-kernels.cc']);
  // No source is forgotten, none is in both.
  const there = readdirSync(dirname(units[0]!.source)).filter((name) => name.endsWith('.cc'));
  expect(units.flatMap(({ source, parts }) => [source, ...parts].map((path) => basename(path))).sort()).toEqual(there);
  expect(hash).toMatch(/^[0-9a-f]{64}$/);
  await expect(readSources(await temporaryFolder())).rejects.toThrow('the package is incomplete');
});

test('without a compiler there is advice for each platform; a wrong CXX is an error', async () => {
  expect(await findCompiler({ PATH: '' })).toBeUndefined();
  expect(compilerAdvice('darwin')).toContain('xcode-select --install');
  expect(compilerAdvice('linux')).toContain('apt-get install g++');
  await expect(findCompiler({ ...process.env, CXX: '/no/such/c++' })).rejects.toThrow('CXX is set to "/no/such/c++"');
});

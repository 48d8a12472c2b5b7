// Compiles the addon, `native/*.cc`, against a libtorch with the machine's own C++ compiler: no build tool, no network.
//
// Objects and addons are kept in the cache under a hash of all that goes into them, so nothing is compiled twice.
// An addon lies beside a link named `libtorch` to the libraries it was made for and finds them through it
// (rpath $ORIGIN/libtorch); a prebuilt addon is used by putting it beside such a link.
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { exists } from '../files/exists.js';
import { withLock } from '../files/lock.js';
import { temporaryName, writeText } from '../files/write.js';
import { cacheFolder, publishFolder, sweepLeftovers } from './cache.js';
import { distributedParts } from './distributed.js';
import { SetupError } from './errors.js';
import { fingerprint, type Libtorch, PINNED_VERSION } from './locate.js';
import { type OnProgress, waiting } from './progress.js';
import { run } from './run.js';

/** The file name of the compiled addon. */
const ADDON = 'promot_torch.node';

/** This package's folder, seen from `src/setup` and from `dist/setup` alike. */
const packageFolder = fileURLToPath(new URL('../../', import.meta.url)).replace(/\/$/, '');

/** The C++ sources of the addon. */
export const nativeFolder = join(packageFolder, 'native');

/** Where this platform's prebuilt addon is, if there is one. */
const prebuiltFolder = join(
  packageFolder,
  'prebuilds',
  `${process.platform}-${process.arch}-libtorch-${minorOf(PINNED_VERSION)}`,
);

/** A C++ compiler. */
export interface Compiler {
  command: string;
  /** First line of `--version`. */
  version: string;
}

/** `2.13` of `2.13.0+cpu`: releases that differ only after that share an ABI. */
function minorOf(version: string): string {
  return version.split('.').slice(0, 2).join('.');
}

/**
 * The C++ compiler: `$CXX`, else `c++`, `g++`, `clang++`.
 * @returns undefined if there is none.
 * @throws SetupError if `CXX` is set and does not run.
 */
export async function findCompiler(env: NodeJS.ProcessEnv = process.env): Promise<Compiler | undefined> {
  for (const command of env.CXX ? [env.CXX] : ['c++', 'g++', 'clang++']) {
    const [program = '', ...args] = command.split(/\s+/);
    const answer = await run(program, [...args, '--version'], { env, timeout: 20_000 });
    if (answer.code === 0) return { command, version: answer.stdout.split('\n')[0]?.trim() ?? '' };
    if (env.CXX) throw new SetupError(`CXX is set to "${env.CXX}", which does not run. Correct or unset it.`);
  }
  return undefined;
}

/** How to get a compiler here: one line. */
export function compilerAdvice(platform: NodeJS.Platform = process.platform): string {
  if (platform === 'darwin') return 'Install the command line tools: xcode-select --install';
  return 'Install one: apt-get install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora), apk add g++ (Alpine)';
}

/** What the compiler is given at a time. */
interface Unit {
  readonly source: string;
  /** The other sources that it includes. */
  readonly parts: readonly string[];
}

/**
 * The addon's sources (`.cc`) as units of compilation, its headers, both in name order, and a hash over all their names
 * and contents. A source that another one includes is a part of that unit.
 */
export async function readSources(folder = nativeFolder): Promise<{ units: Unit[]; headers: string[]; hash: string }> {
  const names = (await readdir(folder, { recursive: true }).catch(() => [])).sort();
  const sources = names.filter((name) => name.endsWith('.cc')).map((name) => join(folder, name));
  const headers = names.filter((name) => /\.(h|hpp)$/.test(name)).map((name) => join(folder, name));
  if (sources.length === 0)
    throw new SetupError(`No C++ sources in ${folder}: the package is incomplete; install it again.`);
  const all: Unit[] = [];
  for (const source of sources) {
    const included = (await readFile(source, 'utf8')).matchAll(/^#include "(.+\.cc)"/gm);
    all.push({ source, parts: [...included].map(([, name]) => join(dirname(source), name!)) });
  }
  const units = all.filter(({ source }) => !all.some(({ parts }) => parts.includes(source)));
  return { units, headers, hash: await hashFiles([...sources, ...headers]) };
}

async function hashFiles(paths: string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const path of paths)
    hash
      .update(`${basename(path)}\0`)
      .update(await readFile(path))
      .update('\0');
  return hash.digest('hex');
}

const shortHash = (...parts: string[]) => createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 24);

/** What the compiler and the linker are given. */
interface Flags {
  compile: string[];
  link: string[];
  /** Says all that matters of the flags; unlike them it does not say where this package is installed. */
  identity: string;
}

async function flagsFor(libtorch: Libtorch, native: string): Promise<Flags> {
  const mac = process.platform === 'darwin';
  const options = [
    '-std=c++20',
    '-O2',
    '-fPIC',
    '-fvisibility=hidden',
    `-D_GLIBCXX_USE_CXX11_ABI=${libtorch.cxx11Abi ? 1 : 0}`,
    // As libtorch was compiled: some of its classes have other members without.
    '-DNDEBUG',
    // Roots need no check of their own, so that loops over them can be vectorised.
    '-fno-math-errno',
    '-fno-trapping-math',
    // A product and a sum are rounded apart: processors with an instruction for both give the same bits as those
    // without.
    '-ffp-contract=off',
    '-DNAPI_VERSION=8',
    '-DNODE_ADDON_API_CPP_EXCEPTIONS',
    // A thread that is ended while the addon loads, or while it works, can be told nothing: without this it aborts.
    '-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
    `-DNODE_GYP_MODULE_NAME=${basename(ADDON, '.node')}`,
  ];
  const addonApi = await dependency('node-addon-api');
  const headers = await dependency('node-api-headers');
  const include = join(libtorch.root, 'include');
  const folders = [
    include,
    join(include, 'torch', 'csrc', 'api', 'include'),
    addonApi.folder,
    join(headers.folder, 'include'),
  ];
  const distributed = await distributedParts(libtorch);
  const link = [
    ...(mac ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared', '-Wl,--no-as-needed']),
    `-L${join(libtorch.root, 'lib')}`,
    '-ltorch',
    '-ltorch_cpu',
    '-lc10',
    // Nothing in the addon refers to the CUDA libraries; loading them is what registers their kernels.
    ...(libtorch.cuda ? ['-ltorch_cuda', '-lc10_cuda'] : []),
    `-Wl,-rpath,${mac ? '@loader_path' : '$ORIGIN'}/libtorch`,
  ];
  return {
    // -isystem: warnings in other people's headers are no use to anyone here.
    compile: [
      ...options,
      ...distributed.defines,
      ...[...folders, join(native, 'gloo-stub'), ...distributed.folders].flatMap((folder) => ['-isystem', folder]),
    ],
    link,
    identity: [...options, ...distributed.defines, ...link, addonApi.version, headers.version].join(' '),
  };
}

/** Where npm has put a package that we depend on, and its version. */
async function dependency(name: string): Promise<{ folder: string; version: string }> {
  const path = createRequire(import.meta.url).resolve(`${name}/package.json`);
  const { version } = JSON.parse(await readFile(path, 'utf8')) as { version: string };
  return { folder: dirname(path), version };
}

/**
 * Compiles and links the addon, or finds it in the cache.
 * @param native the folder with the C++ sources.
 * @returns the path of the `.node` file.
 * @throws SetupError with the compiler's first errors if it does not compile, link or load.
 */
export async function buildAddon(
  libtorch: Libtorch,
  compiler: Compiler,
  onProgress: OnProgress,
  native = nativeFolder,
): Promise<string> {
  const { units, headers, hash } = await readSources(native);
  const flags = await flagsFor(libtorch, native);
  const surroundings = [
    compiler.command,
    compiler.version,
    libtorch.version,
    libtorch.root,
    fingerprint(libtorch.root),
    flags.identity,
  ];
  const cache = cacheFolder();
  const folder = join(cache, 'addons', `built-${shortHash(hash, ...surroundings)}`);
  const addon = join(folder, ADDON);
  if (await exists(addon)) return addon;

  return withLock(
    join(cache, 'build.lock'),
    async () => {
      if (await exists(addon)) return addon;
      const objects = join(cache, 'objects');
      await mkdir(objects, { recursive: true });
      await sweepLeftovers(objects);
      await sweepLeftovers(join(cache, 'addons'));
      await sweepLeftovers(join(cache, 'stamps'));
      await dropUnused(objects);

      // An object depends on its sources, on every header of ours, and on the surroundings.
      const headersHash = await hashFiles(headers);
      const jobs = await Promise.all(
        units.map(async ({ source, parts }) => {
          const key = shortHash(await hashFiles([source, ...parts]), headersHash, ...surroundings);
          return { source, object: join(objects, `${basename(source, '.cc')}-${key}.o`) };
        }),
      );
      const missing: typeof jobs = [];
      for (const job of jobs) if (!(await exists(job.object))) missing.push(job);
      onProgress({
        kind: 'step',
        message: `Compiling the addon with ${compiler.version} for libtorch ${libtorch.version}`,
      });
      let done = jobs.length - missing.length;
      await inParallel(missing, availableParallelism(), async ({ source, object }) => {
        const temporary = temporaryName(object);
        await compile(compiler, [...flags.compile, '-c', source, '-o', temporary], basename(source));
        await rename(temporary, object);
        done++;
        onProgress({ kind: 'progress', message: 'compiling', done, total: jobs.length, unit: 'files' });
      });
      await publishFolder(folder, async (temporary) => {
        await linkLibraries(libtorch, temporary);
        const objectPaths = jobs.map((job) => job.object);
        await compile(compiler, [...objectPaths, ...flags.link, '-o', join(temporary, ADDON)], 'linking');
        const problem = await loadProblem(join(temporary, ADDON));
        if (problem) throw new SetupError(`The compiled addon does not load: ${problem}`);
      });
      return addon;
    },
    waiting(onProgress),
  );
}

/**
 * Puts the prebuilt addon beside a link to this libtorch, if there is one for it: same platform, same minor release,
 * made from the sources that are here.
 * @returns its path, or undefined where there is none or it does not load (then it is to be compiled).
 */
export async function usePrebuilt(libtorch: Libtorch, onProgress: OnProgress): Promise<string | undefined> {
  const text = await readFile(join(prebuiltFolder, 'prebuilt.json'), 'utf8').catch(() => undefined);
  if (!text) return undefined;
  const description = JSON.parse(text) as { sources?: string; sha256?: string };
  if (minorOf(libtorch.version) !== minorOf(PINNED_VERSION) || libtorch.cuda || !libtorch.cxx11Abi) return undefined;
  if (description.sources !== (await readSources()).hash) return undefined;
  const key = shortHash(description.sha256 ?? '', libtorch.root, fingerprint(libtorch.root));
  const folder = join(cacheFolder(), 'addons', `prebuilt-${key}`);
  const addon = join(folder, ADDON);
  if (await exists(addon)) return addon;
  try {
    await publishFolder(folder, async (temporary) => {
      await linkLibraries(libtorch, temporary);
      await copyFile(join(prebuiltFolder, ADDON), join(temporary, ADDON));
      const problem = await loadProblem(join(temporary, ADDON));
      if (problem) throw new SetupError(problem);
    });
    return addon;
  } catch (error) {
    onProgress({ kind: 'note', message: `The prebuilt addon does not fit this machine (${(error as Error).message})` });
    return undefined;
  }
}

/** Copies a compiled addon to where `usePrebuilt` looks. `addon` must have been built for the pinned CPU release. */
export async function writePrebuilt(addon: string): Promise<string> {
  const temporary = `${prebuiltFolder}.new`;
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary, { recursive: true });
  await copyFile(addon, join(temporary, ADDON));
  const sha256 = await hashFiles([join(temporary, ADDON)]);
  const description = { libtorch: PINNED_VERSION, sources: (await readSources()).hash, sha256 };
  writeText(join(temporary, 'prebuilt.json'), `${JSON.stringify(description, null, 2)}\n`);
  await rm(prebuiltFolder, { recursive: true, force: true });
  await rename(temporary, prebuiltFolder);
  return prebuiltFolder;
}

/** `libtorch -> <root>/lib` beside the addon. */
async function linkLibraries(libtorch: Libtorch, folder: string): Promise<void> {
  await symlink(join(libtorch.root, 'lib'), join(folder, 'libtorch'));
}

/** Loads the addon in a process of its own. @returns what went wrong, in one line, or undefined. */
export async function loadProblem(addon: string): Promise<string | undefined> {
  const script = 'process.dlopen({ exports: {} }, process.argv[1])';
  const answer = await run(process.execPath, ['-e', script, addon], { timeout: 120_000 });
  if (answer.code === 0) return undefined;
  const line = answer.stderr.split('\n').find((text) => text.startsWith('Error: '));
  return (
    line?.slice('Error: '.length) ?? `Node.js ended with code ${answer.code}: ${answer.stderr.trim().slice(0, 300)}`
  );
}

async function compile(compiler: Compiler, args: string[], what: string): Promise<void> {
  const [program = '', ...own] = compiler.command.split(/\s+/);
  const answer = await run(program, [...own, ...args]);
  if (answer.code === 0) return;
  if (answer.error) throw new SetupError(`The compiler ${compiler.command} cannot be started: ${answer.error.message}`);
  const lines = answer.stderr.split('\n');
  const first = lines.findIndex((line) => /error|undefined|cannot find/i.test(line));
  const shown = lines.slice(Math.max(0, first), Math.max(0, first) + 20).join('\n');
  throw new SetupError(`${compiler.version} failed (${what}):\n${shown}`);
}

/** Objects of past versions are of no use to anyone after a while. */
async function dropUnused(folder: string): Promise<void> {
  const monthAgo = Date.now() - 30 * 24 * 3600_000;
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if ((await stat(path)).mtimeMs < monthAgo) await rm(path, { force: true });
  }
}

/** Works on all items, a few at a time. Waits for the running ones even if one fails, then throws the first error. */
async function inParallel<T>(items: T[], workers: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
      await work(item).catch((error) => {
        queue.length = 0;
        throw error;
      });
    }
  };
  const results = await Promise.allSettled(Array.from({ length: Math.min(workers, items.length) }, worker));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

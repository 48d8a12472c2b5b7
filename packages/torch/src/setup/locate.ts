// Finds libtorch on this machine: the LIBTORCH variable, then a Python that has torch, then our own cached download.
// Python is only asked where its torch folder is; torch is never imported.
import { statSync } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { exists } from '../files/exists.js';
import { cacheFolder } from './cache.js';
import { SetupError } from './errors.js';
import { run } from './run.js';

/** The release that is downloaded, and that prebuilt addons are for. */
export const PINNED_VERSION = '2.13.0';

/** The oldest release that the addon is meant to compile against. */
const OLDEST_MINOR = 4;

/** A libtorch on this machine. */
export interface Libtorch {
  /** The folder with `lib/` and `include/`, links resolved. */
  root: string;
  /** For example `2.13.0+cpu`. */
  version: string;
  source: 'LIBTORCH' | 'python' | 'cache';
  /** The Python that has it, where `source` is `python`. */
  python?: string;
  /** Whether the CUDA kernels are there (`libtorch_cuda`); says nothing about a GPU. */
  cuda: boolean;
  /** Whether it was compiled with the C++11 ABI of libstdc++ (false: wheels before about 2.7). */
  cxx11Abi: boolean;
}

/** What was looked at: the one to use, if any, and a line on each that was passed over. */
interface LocateResult {
  libtorch?: Libtorch;
  notes: string[];
}

/** The file name of a shared library here: `libc10.so`, `libc10.dylib`. */
export function libraryName(name: string, platform: NodeJS.Platform = process.platform): string {
  return `lib${name}.${platform === 'darwin' ? 'dylib' : 'so'}`;
}

/** The libtorch folder of the cached download; what it needs beside it (CUDA libraries) is in its parent. */
export function downloadedLibtorch(version = PINNED_VERSION, env: NodeJS.ProcessEnv = process.env): string {
  return join(cacheFolder(env), `libtorch-${version}-${process.platform}-${process.arch}`, 'torch');
}

/**
 * Looks for libtorch in order: `LIBTORCH`, an importable Python torch, the cached download. Downloads nothing.
 * @throws SetupError if `LIBTORCH` is set but is no usable libtorch; the others are passed over with a note.
 */
export async function locateLibtorch(env: NodeJS.ProcessEnv = process.env): Promise<LocateResult> {
  const notes: string[] = [];
  if (env.LIBTORCH) {
    const found = await examine(env.LIBTORCH, 'LIBTORCH');
    if (typeof found === 'string') {
      throw new SetupError(
        `LIBTORCH is set to ${env.LIBTORCH}, but ${found}. Correct it, or unset it to have libtorch found or ` +
          'downloaded.',
      );
    }
    return { libtorch: found, notes };
  }
  const python = await pythonTorch(env);
  if (python) {
    const found = await examine(python.root, 'python');
    if (typeof found !== 'string') return { libtorch: { ...found, python: python.python }, notes };
    notes.push(`The torch of ${python.python} is passed over: ${found}.`);
  }
  const cached = downloadedLibtorch(PINNED_VERSION, env);
  if (await exists(cached)) {
    const found = await examine(cached, 'cache');
    if (typeof found !== 'string') return { libtorch: found, notes };
    notes.push(`The cached download ${cached} is passed over: ${found}.`);
  }
  return { notes };
}

/**
 * Reads what kind of libtorch a folder holds.
 * @returns the description, or the reason (a clause without a full stop) why it cannot be used.
 */
export async function examine(folder: string, source: Libtorch['source']): Promise<Libtorch | string> {
  const root = await realpath(folder).catch(() => undefined);
  if (!root) return 'there is no such folder';
  for (const name of ['torch_cpu', 'c10']) {
    if (!(await exists(join(root, 'lib', libraryName(name))))) return `it has no lib/${libraryName(name)}`;
  }
  if (!(await exists(join(root, 'include', 'ATen', 'core', 'dispatch', 'Dispatcher.h')))) {
    return 'it has no C++ headers in include/';
  }
  const version = await readVersion(root);
  if (!version) return 'its version cannot be read';
  const unfit = unfitVersion(version);
  if (unfit) return unfit;
  return {
    root,
    version,
    source,
    cuda: await exists(join(root, 'lib', libraryName('torch_cuda'))),
    cxx11Abi: await usesCxx11Abi(root),
  };
}

/** Why a release cannot be used, or undefined if it can: 2.4 and later 2.x are fine. */
export function unfitVersion(version: string): string | undefined {
  const match = /^(\d+)\.(\d+)/.exec(version);
  if (!match) return `its version "${version}" is not understood`;
  const [major, minor] = [Number(match[1]), Number(match[2])];
  if (major === 2 && minor >= OLDEST_MINOR) return undefined;
  return `it is libtorch ${version} and 2.${OLDEST_MINOR} or a later 2.x is needed`;
}

/**
 * The version, from the file that each kind of package has: `build-version` (archive), `version.py` (wheel), a header.
 */
async function readVersion(root: string): Promise<string | undefined> {
  const text = (...path: string[]) => readFile(join(root, ...path), 'utf8').catch(() => '');
  const archive = (await text('build-version')).trim();
  if (archive) return archive;
  const wheel = /^__version__ = ['"]([^'"]+)['"]/m.exec(await text('version.py'));
  if (wheel) return wheel[1];
  for (const path of ['torch/headeronly/version.h', 'torch/csrc/api/include/torch/version.h']) {
    const header = await text('include', path);
    const part = (name: string) => new RegExp(`#define TORCH_VERSION_${name} (\\d+)`).exec(header)?.[1];
    const parts = ['MAJOR', 'MINOR', 'PATCH'].map(part);
    if (parts.every((p) => p !== undefined)) return parts.join('.');
  }
  return undefined;
}

/**
 * Reads the ABI off the name of a function that takes a std::string: with the old ABI it is mangled as `Ss`.
 * (The CMake files say it too, but not every package has them.)
 */
async function usesCxx11Abi(root: string): Promise<boolean> {
  if (process.platform !== 'linux') return true;
  const library = await readFile(join(root, 'lib', libraryName('c10')));
  return !library.includes('torchCheckFailEPKcS2_jRKSs');
}

/** The torch folder of the first Python that can import torch: that of `VIRTUAL_ENV`, else `python3`, else `python`. */
async function pythonTorch(env: NodeJS.ProcessEnv): Promise<{ root: string; python: string } | undefined> {
  const script = 'import importlib.util as u; s = u.find_spec("torch"); print((s and s.origin) or "")';
  for (const python of pythons(env)) {
    // -P would keep a torch.py in the current folder out, but is new in 3.11; -c with a neutral folder does the same.
    const answer = await run(python, ['-c', script], { env, cwd: '/', timeout: 20_000 });
    const origin = answer.code === 0 ? answer.stdout.trim() : '';
    if (origin.endsWith('/__init__.py')) return { root: origin.slice(0, -'/__init__.py'.length), python };
  }
  return undefined;
}

/** Names of Pythons worth asking, best first. */
export function pythons(env: NodeJS.ProcessEnv = process.env): string[] {
  const own = env.VIRTUAL_ENV ? [join(env.VIRTUAL_ENV, 'bin', 'python')] : [];
  return [...own, 'python3', 'python'];
}

/** The size and time of the library that matters most: changes when libtorch is replaced in place. */
export function fingerprint(root: string): string {
  const info = statSync(join(root, 'lib', libraryName('torch_cpu')), { throwIfNoEntry: false });
  return info ? `${info.size}-${Math.floor(info.mtimeMs)}` : '';
}

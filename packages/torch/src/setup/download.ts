// Gets the pinned libtorch: the official CPU archive, or where that cannot be had the wheel of PyTorch through pip.
// Of either only the libraries and the headers are kept, in the cache folder, as `libtorch-<version>-<platform>/torch`.
import { mkdir, readdir, rename, rm, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { exists } from '../files/exists.js';
import { withLock } from '../files/lock.js';
import { cacheFolder, displayPath, folderSize, publishFolder, sweepLeftovers, withTemporaryFolder } from './cache.js';
import { SetupError } from './errors.js';
import { FetchError, fetchFile } from './fetch-file.js';
import { downloadedLibtorch, examine, type Libtorch, libraryName, PINNED_VERSION, pythons } from './locate.js';
import { type OnProgress, waiting } from './progress.js';
import { type RunResult, run } from './run.js';
import { ArchiveError, unpack } from './unpack.js';

const HOST = 'https://download.pytorch.org';

/** Archive and unpacked files of the CPU release need about 1 GB at once. */
const SPACE_NEEDED = 1.5e9;

/** Address of the official CPU archive for this platform, or undefined if none is published. */
export function archiveUrl(platform: string = process.platform, arch: string = process.arch): string | undefined {
  const version = PINNED_VERSION;
  if (platform === 'linux' && arch === 'x64') {
    return `${HOST}/libtorch/cpu/libtorch-shared-with-deps-${version}%2Bcpu.zip`;
  }
  if (platform === 'darwin' && arch === 'arm64') return `${HOST}/libtorch/cpu/libtorch-macos-arm64-${version}.zip`;
  return undefined;
}

/**
 * Downloads libtorch into the cache, unless it is there already. Two processes at once share one download, and one that
 * is killed leaves nothing half-made; the next goes on with the bytes that had arrived.
 * @throws SetupError if neither way works: it says why for each, and what else to do.
 */
export async function downloadLibtorch(onProgress: OnProgress, archive = archiveUrl()): Promise<Libtorch> {
  const root = downloadedLibtorch();
  const folder = dirname(root);
  const cache = cacheFolder();
  await mkdir(cache, { recursive: true });
  await withLock(
    join(cache, 'download.lock'),
    async () => {
      if (await exists(root)) return;
      await sweepLeftovers(cache, 0);
      await checkSpace(cache);
      const failures: string[] = [];
      if (archive && (await fromArchive(archive, folder, onProgress, failures))) return;
      if (await fromPip(folder, onProgress, failures)) return;
      throw new SetupError(
        [
          `libtorch ${PINNED_VERSION} cannot be downloaded:`,
          ...failures.map((failure) => `- ${failure}`),
          'Either set LIBTORCH to the folder of an unpacked libtorch (from pytorch.org),',
          `or install PyTorch for the python3 on your PATH (pip install torch==${PINNED_VERSION}); then try again.`,
        ].join('\n'),
      );
    },
    waiting(onProgress),
  );
  const found = await examine(root, 'cache');
  if (typeof found === 'string')
    throw new SetupError(`The libtorch in ${root} is unusable: ${found}. Delete the folder.`);
  return found;
}

async function checkSpace(cache: string): Promise<void> {
  const { bavail, bsize } = await statfs(cache);
  const free = bavail * bsize;
  if (free >= SPACE_NEEDED) return;
  throw new SetupError(
    `${displayPath(cache)} has ${(free / 1e9).toFixed(1)} GB free, and libtorch needs ${SPACE_NEEDED / 1e9} GB. ` +
      'Make room, or set PROMOT_CACHE to a folder on a larger disk.',
  );
}

/** @returns whether it worked; if not, the reason is added to `failures`. */
async function fromArchive(url: string, folder: string, onProgress: OnProgress, failures: string[]): Promise<boolean> {
  const name = decodeURIComponent(url.split('/').at(-1) ?? 'libtorch.zip');
  const path = join(cacheFolder(), 'downloads', name);
  await mkdir(dirname(path), { recursive: true });
  onProgress({ kind: 'step', message: `Downloading libtorch ${PINNED_VERSION} from ${new URL(url).host}` });
  try {
    if (!(await exists(path))) await fetchFile(url, path, { onProgress, label: name });
    await keepFromZip(path, 'libtorch/', folder, onProgress);
    return true;
  } catch (error) {
    if (!(error instanceof FetchError || error instanceof ArchiveError)) throw error;
    const reason = error instanceof ArchiveError ? `the archive is damaged: ${error.message}` : error.message;
    failures.push(`the official archive: ${reason}`);
    onProgress({ kind: 'note', message: `Not from there: ${reason}` });
    if (error instanceof ArchiveError) await rm(path, { force: true });
    return false;
  } finally {
    if (await exists(folder)) await rm(path, { force: true });
  }
}

/** Publishes `<folder>/torch` with what a build needs of an archive whose files lie under `prefix`. */
async function keepFromZip(path: string, prefix: string, folder: string, onProgress: OnProgress): Promise<void> {
  await publishFolder(folder, async (temporary) => {
    await unpack(path, join(temporary, 'torch'), (name) => neededFile(name, prefix), onProgress);
    const found = await examine(join(temporary, 'torch'), 'cache');
    if (typeof found === 'string') throw new ArchiveError(found);
  });
}

/** The path under `torch/` of a file that is needed to compile against libtorch or to run it; undefined for others. */
export function neededFile(name: string, prefix: string): string | undefined {
  if (!name.startsWith(prefix)) return undefined;
  const path = name.slice(prefix.length);
  if (path === 'version.py' || path === 'build-version' || path.startsWith('include/')) return path;
  if (!path.startsWith('lib/')) return undefined;
  // Neither Python's part nor static libraries are ever linked.
  return path.endsWith('.a') || path.includes('torch_python') ? undefined : path;
}

/** @returns whether it worked; if not, the reason is added to `failures`. */
async function fromPip(folder: string, onProgress: OnProgress, failures: string[]): Promise<boolean> {
  const python = await pythonWithPip();
  if (!python) {
    failures.push('the Python wheel: there is no python3 with pip (Debian, Ubuntu: apt-get install python3-pip)');
    return false;
  }
  // The temporary folder holds pip's own temporary files too, so that a killed pip leaves nothing outside.
  return withTemporaryFolder(folder, async (temporary) => {
    const wheel = await downloadWheel(python, temporary, onProgress, failures);
    if (!wheel) return false;
    onProgress({ kind: 'step', message: `Taking libtorch out of ${basename(wheel)}` });
    const kept = join(temporary, 'kept');
    await keepFromZip(wheel, 'torch/', kept, onProgress);
    if (await exists(join(kept, 'torch', 'lib', libraryName('torch_cuda')))) {
      if (!(await addNvidia(python, wheel, temporary, onProgress, failures))) return false;
    }
    await rename(kept, folder);
    return true;
  }).catch((error) => {
    if (!(error instanceof ArchiveError)) throw error;
    failures.push(`the Python wheel: ${error.message}`);
    return false;
  });
}

async function pythonWithPip(): Promise<string | undefined> {
  for (const python of pythons()) {
    const answer = await run(python, ['-m', 'pip', '--version'], { timeout: 60_000 });
    if (answer.code === 0) return python;
  }
  return undefined;
}

/** Tries the index of CPU builds first, since the default index may hold CUDA builds of several GB. */
async function downloadWheel(
  python: string,
  temporary: string,
  onProgress: OnProgress,
  failures: string[],
): Promise<string | undefined> {
  const target = join(temporary, 'wheel');
  const cpuIndex = ['--index-url', `${HOST}/whl/cpu`];
  // pip would retry for a long time to reach a host that is not there.
  const indexes = (await reachable(`${HOST}/whl/cpu/`)) ? [cpuIndex, []] : [[]];
  for (const index of indexes) {
    const from = index === cpuIndex ? ' from the index of CPU builds' : '';
    onProgress({ kind: 'step', message: `Downloading PyTorch ${PINNED_VERSION} with pip${from}` });
    const args = [
      'download',
      '--no-deps',
      '--only-binary=:all:',
      '--dest',
      target,
      ...index,
      `torch==${PINNED_VERSION}`,
    ];
    const answer = await pip(python, args, temporary, onProgress);
    const wheel = (await readdir(target).catch(() => [])).find((name) => name.endsWith('.whl'));
    if (answer.code === 0 && wheel) return join(target, wheel);
    failures.push(`the Python wheel: pip says "${lastError(answer)}"`);
  }
  return undefined;
}

/**
 * A CUDA build needs NVIDIA's libraries beside it (it looks for them in `../../nvidia`); they are wheels of their own.
 */
async function addNvidia(
  python: string,
  wheel: string,
  temporary: string,
  onProgress: OnProgress,
  failures: string[],
): Promise<boolean> {
  onProgress({ kind: 'step', message: 'This is a CUDA build: downloading its CUDA libraries with pip' });
  const all = join(temporary, 'all');
  const args = ['install', '--only-binary=:all:', '--no-compile', '--target', all, wheel];
  const answer = await pip(python, args, temporary, onProgress);
  if (answer.code !== 0) {
    failures.push(`the CUDA libraries: pip says "${lastError(answer)}"`);
    return false;
  }
  if (await exists(join(all, 'nvidia'))) await rename(join(all, 'nvidia'), join(temporary, 'kept', 'nvidia'));
  return true;
}

/** Runs pip; on a terminal it draws its own progress bar, elsewhere the growth of its temporary files is told. */
async function pip(python: string, args: string[], temporary: string, onProgress: OnProgress): Promise<RunResult> {
  const env = { ...process.env, TMPDIR: temporary, PIP_DISABLE_PIP_VERSION_CHECK: '1' };
  const inherit = process.stderr.isTTY === true;
  let measuring = false;
  const timer = setInterval(async () => {
    if (measuring || inherit) return;
    measuring = true;
    onProgress({ kind: 'progress', message: 'pip', done: await folderSize(temporary), unit: 'bytes' });
    measuring = false;
  }, 1000);
  try {
    return await run(python, ['-m', 'pip', ...args], { env, inherit });
  } finally {
    clearInterval(timer);
  }
}

function lastError(answer: RunResult): string {
  const lines = answer.stderr.split('\n').filter((line) => line.startsWith('ERROR: '));
  return (
    lines.at(-1)?.slice('ERROR: '.length).slice(0, 300) ?? answer.error?.message ?? `ended with code ${answer.code}`
  );
}

async function reachable(url: string): Promise<boolean> {
  return fetch(url, { method: 'HEAD', signal: AbortSignal.timeout(15_000) }).then(
    (response) => response.ok,
    () => false,
  );
}

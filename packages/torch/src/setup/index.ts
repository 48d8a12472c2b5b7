// Set-up: from a bare machine to a loadable addon. `ensureAddon` does what is missing and is quick when nothing is.
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { buildAddon, compilerAdvice, findCompiler, nativeFolder, usePrebuilt } from './build.js';
import { cacheFolder, displayPath, exists, writeAtomically } from './cache.js';
import { downloadLibtorch } from './download.js';
import { SetupError } from './errors.js';
import { fingerprint, type Libtorch, locateLibtorch } from './locate.js';
import { type OnProgress, reportTo } from './progress.js';

export { SetupError } from './errors.js';
export type { Libtorch } from './locate.js';
export type { OnProgress, SetupEvent } from './progress.js';

/** Options of `ensureAddon`. */
export interface EnsureOptions {
  /** Takes the progress instead of standard error. */
  onProgress?: OnProgress;
  /** Look for libtorch afresh instead of trusting the last answer (a quick second or less). */
  refresh?: boolean;
}

/** What the last successful set-up found; it is trusted while what it names is unchanged. */
interface Stamp {
  addon: string;
  libtorch: Libtorch;
  libtorchFingerprint: string;
  sources: string;
}

/**
 * Makes sure that there is an addon that loads: finds or downloads libtorch, then takes the prebuilt addon or compiles it.
 * Takes a few milliseconds when all is in place.
 * @returns the path of the `.node` file.
 * @throws SetupError with what to do if libtorch cannot be had or the addon cannot be compiled.
 */
export async function ensureAddon(options: EnsureOptions = {}): Promise<string> {
  const stamp = options.refresh ? undefined : await readStamp();
  if (stamp) return stamp.addon;
  if (process.platform !== 'linux' && process.platform !== 'darwin') {
    throw new SetupError(`${process.platform} is not supported: use Linux (also in WSL) or macOS.`);
  }
  const onProgress = options.onProgress ?? reportTo();
  const { libtorch: found, notes } = await locateLibtorch();
  for (const message of notes) onProgress({ kind: 'note', message });
  const libtorch = found ?? (await downloadLibtorch(onProgress));
  const addon = await makeAddon(libtorch, onProgress);
  const content: Stamp = {
    addon,
    libtorch,
    libtorchFingerprint: await fingerprint(libtorch.root),
    sources: await sourcesFingerprint(),
  };
  await writeAtomically(stampPath(), JSON.stringify(content));
  return addon;
}

async function makeAddon(libtorch: Libtorch, onProgress: OnProgress): Promise<string> {
  const prebuilt = await usePrebuilt(libtorch, onProgress);
  if (prebuilt) return prebuilt;
  const compiler = await findCompiler();
  if (!compiler) {
    throw new SetupError(
      `The addon has to be compiled for libtorch ${libtorch.version} in ${displayPath(libtorch.root)}, and there is no C++ compiler. ${compilerAdvice()}.`,
    );
  }
  return buildAddon(libtorch, compiler, onProgress);
}

/** A stamp for each clone or installation, and each choice of libtorch by the environment. */
function stampPath(): string {
  const { LIBTORCH = '', VIRTUAL_ENV = '' } = process.env;
  const key = createHash('sha256').update([nativeFolder, LIBTORCH, VIRTUAL_ENV].join('\0')).digest('hex').slice(0, 16);
  return join(cacheFolder(), 'stamps', `${key}.json`);
}

/** The last set-up, if all it names is still as it was. */
export async function readStamp(): Promise<Stamp | undefined> {
  const text = await readFile(stampPath(), 'utf8').catch(() => undefined);
  if (!text) return undefined;
  try {
    const stamp = JSON.parse(text) as Stamp;
    const intact =
      stamp.sources === (await sourcesFingerprint()) &&
      stamp.libtorchFingerprint === (await fingerprint(stamp.libtorch.root)) &&
      (await exists(stamp.addon));
    return intact ? stamp : undefined;
  } catch {
    return undefined; // Not ours or damaged: set-up writes a new one.
  }
}

/** Names, sizes and times of the C++ sources: enough to see an edit without reading them. */
async function sourcesFingerprint(): Promise<string> {
  const names = (await readdir(nativeFolder).catch(() => [])).filter((name) => /\.(cc|h|hpp)$/.test(name)).sort();
  const parts = names.map(async (name) => {
    const info = await stat(join(nativeFolder, name));
    return `${name}:${info.size}:${info.mtimeMs}`;
  });
  return (await Promise.all(parts)).join(',');
}

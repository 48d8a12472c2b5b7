// Set-up: from a bare machine to a loadable addon. `ensureAddon` does what is missing and is quick when nothing is: the
// part that downloads and unpacks loads when it is needed.
import { buildAddon, compilerAdvice, findCompiler, usePrebuilt } from './build.js';
import { displayPath } from './cache.js';
import { SetupError } from './errors.js';
import { type Libtorch, locateLibtorch } from './locate.js';
import { type OnProgress, reportTo } from './progress.js';
import { readStamp, writeStamp } from './stamp.js';

export { type CpuFeatures, cpuFeatures } from './cpu.js';
export { SetupError } from './errors.js';
export { type Finding, type Inspection, inspect } from './inspect.js';
export type { Libtorch } from './locate.js';
export { endPreload, preload } from './preload.js';
export type { OnProgress, SetupEvent } from './progress.js';

/** Options of `ensureAddon`. */
export interface EnsureOptions {
  /** Takes the progress instead of standard error. */
  onProgress?: OnProgress;
  /** Look for libtorch again instead of trusting the last answer (takes a second or less if nothing changed). */
  refresh?: boolean;
}

/**
 * Makes sure that there is an addon that loads: finds or downloads libtorch, then takes the prebuilt addon or compiles
 * it. Takes a few milliseconds when all is in place.
 * @returns the path of the `.node` file.
 * @throws SetupError with what to do if libtorch cannot be had or the addon cannot be compiled.
 */
export async function ensureAddon(options: EnsureOptions = {}): Promise<string> {
  const stamp = options.refresh ? undefined : readStamp();
  if (stamp) return stamp.addon;
  if (process.platform !== 'linux' && process.platform !== 'darwin') {
    throw new SetupError(`${process.platform} is not supported: use Linux (also in WSL) or macOS.`);
  }
  const onProgress = options.onProgress ?? reportTo();
  const { libtorch: found, notes } = await locateLibtorch();
  for (const message of notes) onProgress({ kind: 'note', message });
  const libtorch = found ?? (await (await import('./download.js')).downloadLibtorch(onProgress));
  const addon = await makeAddon(libtorch, onProgress);
  await writeStamp(addon, libtorch);
  return addon;
}

async function makeAddon(libtorch: Libtorch, onProgress: OnProgress): Promise<string> {
  const prebuilt = await usePrebuilt(libtorch, onProgress);
  if (prebuilt) return prebuilt;
  const compiler = await findCompiler();
  if (!compiler) {
    throw new SetupError(
      `The addon has to be compiled for libtorch ${libtorch.version} in ${displayPath(libtorch.root)}, and there ` +
        `is no C++ compiler. ${compilerAdvice()}.`,
    );
  }
  return buildAddon(libtorch, compiler, onProgress);
}

// Makes the prebuilt addon that the npm package carries; not part of set-up itself.
import { buildAddon, compilerAdvice, findCompiler, writePrebuilt } from './build.js';
import { downloadLibtorch } from './download.js';
import { SetupError } from './errors.js';
import { locateLibtorch, PINNED_VERSION } from './locate.js';
import { reportTo } from './progress.js';

/**
 * Compiles the addon for the pinned CPU release of libtorch (downloaded if it is not at hand) and puts it in
 * `prebuilds/`.
 * @returns the folder.
 * @throws SetupError without a compiler, or if the addon does not compile.
 */
export async function prebuild(): Promise<string> {
  const onProgress = reportTo();
  const compiler = await findCompiler();
  if (!compiler) throw new SetupError(`There is no C++ compiler. ${compilerAdvice()}.`);
  const { libtorch: found } = await locateLibtorch();
  const fits = found?.version.split('+')[0] === PINNED_VERSION && !found.cuda;
  const libtorch = found && fits ? found : await downloadLibtorch(onProgress);
  return writePrebuilt(await buildAddon(libtorch, compiler, onProgress));
}

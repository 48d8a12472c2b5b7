// The note of the last successful set-up, which makes the next one a matter of milliseconds.
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeText } from '../files/write.js';
import { nativeFolder } from './build.js';
import { cacheFolder, exists } from './cache.js';
import { fingerprint, type Libtorch } from './locate.js';

/** What the last successful set-up found; it is trusted while what it names is unchanged. */
export interface Stamp {
  addon: string;
  libtorch: Libtorch;
  libtorchFingerprint: string;
  sources: string;
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

/** Notes a successful set-up. */
export async function writeStamp(addon: string, libtorch: Libtorch): Promise<void> {
  const libtorchFingerprint = await fingerprint(libtorch.root);
  const stamp: Stamp = { addon, libtorch, libtorchFingerprint, sources: await sourcesFingerprint() };
  writeText(stampPath(), JSON.stringify(stamp));
}

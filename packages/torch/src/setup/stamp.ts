// The note of the last successful set-up, which makes the next one a matter of milliseconds.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { writeText } from '../files/write.js';
import { nativeFolder } from './build.js';
import { cacheFolder } from './cache.js';
import { fingerprint, type Libtorch } from './locate.js';

/** What the last successful set-up found; it is trusted while what it names is unchanged. */
interface Stamp {
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
export function readStamp(): Stamp | undefined {
  try {
    const stamp = JSON.parse(readFileSync(stampPath(), 'utf8')) as Stamp;
    const intact =
      stamp.sources === sourcesFingerprint() &&
      stamp.libtorchFingerprint === fingerprint(stamp.libtorch.root) &&
      existsSync(stamp.addon);
    return intact ? stamp : undefined;
  } catch {
    return undefined; // Absent, not ours or damaged: set-up writes a new one.
  }
}

/** Names, sizes and times of the C++ sources: enough to see an edit without reading them. */
function sourcesFingerprint(): string {
  const there = existsSync(nativeFolder) ? readdirSync(nativeFolder, { recursive: true }).map(String) : [];
  const names = there.filter((name) => /\.(cc|h|hpp)$/.test(name)).sort();
  return names
    .map((name) => {
      const info = statSync(join(nativeFolder, name));
      return `${name}:${info.size}:${info.mtimeMs}`;
    })
    .join(',');
}

/** Notes a successful set-up. */
export async function writeStamp(addon: string, libtorch: Libtorch): Promise<void> {
  const libtorchFingerprint = fingerprint(libtorch.root);
  const stamp: Stamp = { addon, libtorch, libtorchFingerprint, sources: sourcesFingerprint() };
  writeText(stampPath(), JSON.stringify(stamp));
}

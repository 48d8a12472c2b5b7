// From a fresh clone to a program that runs: npm packages, TypeScript, libtorch and the addon. Each step is skipped in
// a moment when there is nothing to do. Uses nothing but Node.js, because it runs before the packages are there.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { root, run } from './run.mjs';

/** Node.js 20.15 is the oldest that works; keep equal to `engines` in package.json. */
const OLDEST_NODE = [20, 15];

/** Does what is missing. Ends the process with code 1 if that fails. */
export async function setup() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])) {
    fail(`Node.js ${OLDEST_NODE.join('.')} or later is needed; this is ${process.versions.node}.`);
  }
  if (!packagesFit()) {
    console.error('Installing npm packages (npm ci)');
    if (!run('npm', ['ci', '--no-audit', '--no-fund'])) fail('npm ci failed: see above.');
  }
  console.error('Compiling TypeScript');
  const { compile } = await import('./compile.mjs');
  if (!(await compile())) fail('The sources do not compile: see above.');
  const { ensureAddon, SetupError } = await import('../packages/torch/dist/setup/index.js');
  try {
    await ensureAddon();
  } catch (error) {
    if (error instanceof SetupError) fail(error.message);
    throw error;
  }
}

/**
 * Whether node_modules holds the versions that package-lock.json asks for. npm writes what it installed, as its last
 * deed, into node_modules/.package-lock.json.
 */
function packagesFit() {
  let wanted;
  let installed;
  try {
    wanted = JSON.parse(readFileSync(`${root}package-lock.json`, 'utf8')).packages;
    installed = JSON.parse(readFileSync(`${root}node_modules/.package-lock.json`, 'utf8')).packages;
  } catch {
    return false;
  }
  return Object.entries(wanted).every(([path, { version, optional, peer }]) => {
    // Optional packages are those of other platforms, mostly.
    if (!path.startsWith('node_modules/') || optional || peer) return true;
    return installed[path] !== undefined && installed[path].version === version;
  });
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await setup();
  console.error('Ready. Try: npx promot doctor');
}

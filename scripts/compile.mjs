// Compiles the three packages: tsc checks the types and writes the declarations, rolldown writes the JavaScript. Each
// package becomes a few files that share what they have in common: Node.js takes about a millisecond for each file that
// it loads, so hundreds of small ones would take half a second.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { root, runModule } from './run.mjs';

/** Files that are started or imported by their path, beside the entries that package.json names. */
const programs = {
  torch: ['inner'],
  core: ['inner', 'data/parquet-reader'],
  promot: ['inner', 'cli/main', 'quickstart/child'],
};

/** Packages of many small files that nearly every command loads. They go into the bundle, the others stay outside. */
const inlined = ['zod', 'lossless-json'];

/** What all entries use: a file each, in place of one for each set of entries that shares something. */
const alwaysUsed = [
  { name: 'errors', test: /\/errors\.ts$/u, priority: 1 },
  { name: 'base', test: /\/src\/(base|files)\//u },
];

/** Compiles all. Gives whether the types are right. */
export async function compile() {
  if (!runModule('typescript/bin/tsc', ['-b'])) return false;
  for (const name of Object.keys(programs)) await bundle(name);
  return true;
}

async function bundle(name) {
  const folder = join(root, 'packages', name);
  const { exports, dependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const entries = Object.values(exports).map((entry) => entry.default.slice('./dist/'.length, -'.js'.length));
  const outside = Object.keys(dependencies).filter((dependency) => !inlined.includes(dependency));
  const built = await rolldown({
    input: Object.fromEntries([...entries, ...programs[name]].map((path) => [path, join(folder, 'src', `${path}.ts`)])),
    platform: 'node',
    external: (id) => id.startsWith('node:') || outside.some((other) => id === other || id.startsWith(`${other}/`)),
    resolve: { extensionAlias: { '.js': ['.ts', '.js'] } },
    transform: { target: 'es2023' },
  });
  const { output } = await built.write({
    dir: join(folder, 'dist'),
    // As deep as the files of a room, so that `../../` is the package's folder for both.
    chunkFileNames: 'chunks/[name]-[hash].js',
    codeSplitting: { groups: alwaysUsed },
  });
  await built.close();
  for (const dependency of inlined.filter((one) => one in dependencies)) copyLicense(dependency, folder);
  const written = new Set(output.map(({ fileName }) => fileName));
  for (const file of /** @type {string[]} */ (readdirSync(join(folder, 'dist'), { recursive: true }))) {
    if (/\.js(\.map)?$/u.test(file) && !written.has(file)) rmSync(join(folder, 'dist', file));
  }
}

/** Whoever gets the bundle gets the licence of what is in it. */
function copyLicense(dependency, folder) {
  const from = join(root, 'node_modules', dependency);
  const name = readdirSync(from).find((file) => /^licen[cs]e/iu.test(file));
  if (name === undefined) throw new Error(`${from} has no licence`);
  mkdirSync(join(folder, 'dist/licenses'), { recursive: true });
  copyFileSync(join(from, name), join(folder, 'dist/licenses', `${dependency}.txt`));
}

if (process.argv[1] === fileURLToPath(import.meta.url) && !(await compile())) process.exitCode = 1;

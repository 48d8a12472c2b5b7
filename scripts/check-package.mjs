// `npm run check-package`: packs the three packages, installs the tarballs in an empty folder as a user would, and
// tries them:
// the addon is set up and used, `promot doctor` is content, the built-in model is trained for a few steps. With a
// prebuilt addon in the tarball (`npm run prebuild`) also that a user without a compiler can start. Installs from the
// npm registry.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './run.mjs';
import { setup } from './setup.mjs';

await setup();
const folder = mkdtempSync(join(tmpdir(), 'promot-package-'));
try {
  const tarballs = join(folder, 'tarballs');
  const app = join(folder, 'app');
  mkdirSync(tarballs);
  mkdirSync(app);
  step('Packing', root, 'npm', [
    'pack',
    '--loglevel=error',
    '-w',
    '@promot/torch',
    '-w',
    '@promot/core',
    '-w',
    'promot',
    '--pack-destination',
    tarballs,
  ]);
  writeFileSync(join(app, 'package.json'), '{ "private": true, "type": "module" }\n');
  const files = readdirSync(tarballs).map((name) => join(tarballs, name));
  step('Installing the tarballs', app, 'npm', ['install', '--no-audit', '--no-fund', ...files]);

  writeFileSync(
    join(app, 'use.mjs'),
    `import { ensureAddon, inspect } from '@promot/torch/setup';
     const addon = await ensureAddon();
     const torch = await import('@promot/torch');
     if (Object.keys(torch).length === 0) throw new Error('@promot/torch exports nothing');
     const { findings, libtorch } = await inspect();
     const problems = findings.filter((finding) => finding.problem && ['libtorch', 'addon'].includes(finding.name));
     if (problems.length > 0) throw new Error(JSON.stringify(problems));
     console.log(JSON.stringify({ addon, libtorch: libtorch.root }));\n`,
  );
  const used = JSON.parse(step('Setting up the addon and using it', app, process.execPath, ['use.mjs']));
  step('promot doctor', app, 'npx', ['--no', 'promot', 'doctor']);
  const flags = ['--model', 'lab', '--task', 'lab-rte', '--method', 'promot', '--out', 'run'];
  const stages = ['stage1', 'stage2'].flatMap((stage) => [`${stage}.steps=2`, `${stage}.keepEvery=2`]);
  const settings = [...stages, 'batchSize=4', 'beams=1', 'promptLength=4', 'validationLimit=4'];
  step('A tiny training', app, 'npx', ['--no', 'promot', 'train', ...flags, '--set', ...settings]);
  if (!existsSync(join(app, 'run/model/model.safetensors'))) throw new Error('the training left no run/model');
  for (const file of [
    'promot/README.md',
    'promot/docs/reference/commands.md',
    '@promot/core/README.md',
    '@promot/torch/README.md',
  ])
    if (!existsSync(join(app, 'node_modules', file))) throw new Error(`the tarballs lack ${file}`);
  // The quickstart trains so; tests, which run from the sources, cannot start the compiled child.
  writeFileSync(
    join(app, 'apart.mjs'),
    `import { workApart } from './node_modules/promot/dist/inner.js';
     const settings = { stage2: { steps: 2, keepEvery: 2 }, batchSize: 4, beams: 1, validationLimit: 4 };
     const train = { model: 'lab', task: 'lab-rte', method: 'fine-tune', out: 'apart', settings };
     let steps = 0;
     await workApart({ train }, (message) => { if (message.event?.type === 'step') steps++; });
     if (steps !== 2) throw new Error('heard of ' + steps + ' steps');
     const refused = await workApart({ train }, () => {}).catch((error) => error.message);
     if (!/already holds a run/u.test(refused)) throw new Error('not refused: ' + refused);\n`,
  );
  step('A training in a process of its own', app, process.execPath, ['apart.mjs']);

  if (readdirSync(join(app, 'node_modules/@promot/torch')).includes('prebuilds')) {
    const bin = join(folder, 'bin'); // A PATH with Node.js and nothing else: no compiler.
    mkdirSync(bin);
    symlinkSync(process.execPath, join(bin, 'node'));
    const env = { PATH: bin, CXX: '', PROMOT_CACHE: join(folder, 'cache'), LIBTORCH: used.libtorch };
    const bare = JSON.parse(step('The prebuilt addon without a compiler', app, process.execPath, ['use.mjs'], env));
    if (!bare.addon.includes('prebuilt-')) throw new Error(`not the prebuilt addon: ${bare.addon}`);
  } else console.log('No prebuilt addon in the tarball: `npm run prebuild` makes one.');
  console.log('The packages work when installed.');
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Runs a program to its end and returns its standard output; ends this process if it fails. */
function step(title, cwd, program, args, env = {}) {
  console.error(title);
  const { status, stdout, error } = spawnSync(program, args, {
    cwd,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status === 0) return stdout;
  throw new Error(
    `${title}: ${program} ${args.join(' ')} failed${error ? ` (${error.message})` : ''}\n${stdout ?? ''}`,
  );
}

// Random calls of the addon: its entry points and every operator that promot uses, with arguments of right and of wrong
// kinds. Each may fail with an Error; none may end the process. `--kind sanitized` compiles the addon with
// AddressSanitizer and UBSan first (g++ on Linux, minutes).
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readStamp } from '../../packages/torch/dist/inner.js';
import { root } from '../run.mjs';
import { runLimited } from './lib/limited.mjs';
import { timer } from './lib/timer.mjs';

const child = fileURLToPath(new URL('lib/addon-child.mjs', import.meta.url));
/** Of one process, at most. */
const mostCalls = 5000;

/** `cases`: calls. */
export async function run({ minutes, seed, kind, cases = Number.POSITIVE_INFINITY }) {
  const env = kind === 'sanitized' ? sanitized() : {};
  const limits = { seconds: 300, megabytes: kind === 'sanitized' ? 4000 : 1500, env };
  const operators = operatorsOfSources();
  const folder = mkdtempSync(join(tmpdir(), 'promot-addon-'));
  const end = Date.now() + 60_000 * minutes;
  const isOver = timer({ minutes });
  const counts = { calls: 0, errors: 0, faults: 0 };
  try {
    for (let number = 0; counts.calls < cases && !isOver(); number++) {
      const calls = Math.min(mostCalls, cases - counts.calls);
      const last = join(folder, 'last');
      const request = { operators, calls, seed: `addon-${seed}-${number}`, last, end };
      const { outcome, message, notes, errors } = await runLimited(child, request, limits);
      const [done = 0, thrown = 0] = notes.map(Number);
      counts.calls += done;
      counts.errors += thrown;
      const reports = reportIn(errors);
      if (outcome === 'loaded' && reports === undefined) continue;
      counts.faults++;
      console.log(
        `FAULT process ${number}: ${outcome}: ${reports ?? message}\n  last call: ${readFileSync(last, 'utf8').trim()}`,
      );
      if (reports) console.log(errors.slice(0, 4000));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(
    `addon${kind ? ` (${kind})` : ''}, seed ${seed}: ${counts.calls} calls of ${operators.length} operators and ` +
      `all entry points, ${counts.errors} ended with an error, ${counts.faults} faults`,
  );
  return counts.faults;
}

/** The line in which a sanitizer says what it found; undefined where it found nothing. */
export function reportIn(errors) {
  return /^.*(?:runtime error|ERROR: AddressSanitizer).*$/mu.exec(errors)?.[0];
}

/** The operators that the sources name, but for one that opens files. */
function operatorsOfSources() {
  const found = new Set();
  for (const name of ['torch', 'core', 'promot']) {
    const folder = join(root, 'packages', name, 'src');
    for (const file of readdirSync(folder, { recursive: true }))
      if (file.endsWith('.ts') && !file.endsWith('.test.ts'))
        for (const [, operator] of readFileSync(join(folder, file), 'utf8').matchAll(
          /'((?:aten|promot|_c10d_functional)::[\w.]+)'/gu,
        ))
          found.add(operator);
  }
  found.delete('aten::from_file');
  return [...found].sort();
}

/** The variables with which a process uses an addon under the sanitizers, which is compiled where need be. */
function sanitized() {
  const stamp = readStamp();
  const preload = execFileSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim();
  const env = {
    PROMOT_CACHE: join(stamp.addon, '../../../sanitized'),
    LIBTORCH: stamp.libtorch.root,
    // Without `vptr`: libtorch hides what it would look at.
    CXX: 'g++ -fsanitize=address,undefined -fno-sanitize=vptr -fno-omit-frame-pointer -g1',
    // Node.js ends without freeing everything; sizes beyond all memory are to fail as they do without the sanitizer.
    ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  };
  const setUp =
    `import(${JSON.stringify(new URL('../../packages/torch/dist/setup/index.js', import.meta.url).href)}).then((m) ` +
    '=> m.ensureAddon())';
  const run = (more) =>
    spawnSync(process.execPath, ['-e', setUp], {
      env: { ...process.env, ...env, ...more },
      stdio: ['ignore', 'inherit', 'pipe'],
    });
  const preloaded = { LD_PRELOAD: preload };
  // The compiler without the sanitizer's library, which would slow it down; what it makes loads with it alone.
  if (run({}).status !== 0) {
    const { status, stderr } = run(preloaded);
    if (status !== 0) throw new Error(`the sanitized addon does not load: ${stderr}`);
  }
  return { ...env, ...preloaded };
}

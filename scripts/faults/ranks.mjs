// Hurts single ranks of runs that several processes share: the others must end by themselves with a message that names
// the rank, and the resumed run must come to the bytes of one that nobody hurt. `--kind`: a way to hurt, or a kind of
// run.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { possible, ways } from './lib/hurt.mjs';
import { delayOf } from './lib/limited.mjs';
import { random } from './lib/random.mjs';
import { difference, filesOf, kinds, makeTasks, requestOf } from './lib/runs.mjs';
import { timer } from './lib/timer.mjs';

const child = fileURLToPath(new URL('lib/rank.mjs', import.meta.url));
/**
 * Within so many seconds the others must have ended, those in the processor's queue not counted; where silence is all
 * that tells, beyond the group's limit.
 */
const longestEnd = 10;

export async function run({ seed, kind, ...length }) {
  const draw = random(`ranks-${seed}`);
  const folder = mkdtempSync(join(tmpdir(), 'promot-ranks-'));
  const isOver = timer(length);
  const count = { runs: 0, kills: 0, hurts: {}, faults: 0, slowest: 0 };
  const fault = (what) => {
    count.faults++;
    console.log(`FAULT: ${what}`);
  };
  try {
    const tasks = makeTasks(folder);
    const [task] = tasks;
    const divided = { name: 'promot, shard', method: 'promot', task, model: 't5-v1.1', more: { shard: true } };
    const kindsOfRuns = [divided, ...kinds(tasks)];
    const all = kindsOfRuns.some(({ name }) => name === kind)
      ? kindsOfRuns.filter(({ name }) => name === kind)
      : kindsOfRuns;
    const names = kind in ways ? [kind] : possible(Object.keys(ways));
    const wholes = new Map();
    for (let i = 0; !isOver() || i === 0; i++) {
      const name = names[i % names.length];
      const way = ways[name];
      const [one, size] = [all[i % all.length], name === 'cable' ? 2 : 2 + (i % 2)];
      const key = `${one.name} of ${size}`;
      if (!wholes.has(key)) {
        const out = join(folder, `whole-${i}`);
        const ranks = await runRanks(one, out, size);
        const failed = ranks.find(({ code }) => code !== 0);
        if (failed) throw new Error(`${key}: the run that nobody hurt ended with ${failed.code}: ${failed.stderr}`);
        wholes.set(key, { events: ranks[0].events, files: filesOf(out), bytes: bytesOf(out) });
      }
      const whole = wholes.get(key);
      const place = join(folder, `place-${i}`);
      const out = name === 'disk' ? join(place, 'run') : place;
      const hurt = { way, rank: draw.below(size), event: 1 + draw.below(whole.events), delay: draw.below(60) };
      try {
        way.prepare?.(place, whole.bytes * (0.2 + 0.6 * (draw.below(1000) / 1000)));
        const ranks = await runRanks(one, out, size, hurt);
        const story = `${key}, ${name}: rank ${hurt.rank}, ${hurt.delay} ms after its event ${hurt.event}`;
        judge(ranks, hurt, { name, size, story, fault, count });
        way.mend?.(place);
        const passes = existsSync(join(out, 'passes.json'));
        const again = await runRanks(one, out, size, name === 'cable' ? { way } : undefined);
        const failed = again.find(({ code }) => code !== 0);
        // Smaller passes round otherwise.
        const problem = failed
          ? `ended with ${failed.code}: ${failed.stderr}`
          : passes
            ? undefined
            : difference(whole.files, filesOf(out));
        if (problem) fault(`${story}: gone on with, ${problem}`);
      } finally {
        way.clean?.(place);
      }
      count.runs++;
      rmSync(place, { recursive: true, force: true });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const hurts = Object.entries(count.hurts).map(([name, n]) => `${n} ${name}`);
  console.log(
    `ranks: ${count.runs} runs, ${count.kills} kills and the like (${hurts.join(', ')}), the others ended within ` +
      `${count.slowest.toFixed(1)} s (beyond the limit where silence is all that tells), ${count.faults} faults ` +
      `(seed ${seed})`,
  );
  return count.faults;
}

/**
 * Whether the ranks ended as they must after one was hurt; where it had come to its end before, nothing is to be
 * judged.
 */
export function judge(ranks, { way, rank: victim }, { name, size, story, fault, count }) {
  if (ranks.every(({ code }) => code === 0)) return;
  count.hurts[name] = (count.hurts[name] ?? 0) + 1;
  count.kills++;
  for (const [rank, { code, stderr, seconds }] of ranks.entries()) {
    if (code === 0) continue;
    const isVictim = name !== 'cable' && rank === victim;
    // A rank that is ended by the kernel says nothing.
    if (isVictim && !(way.spoken && code === 1)) continue;
    const late = seconds - (way.silent ? way.seconds : 0);
    count.slowest = Math.max(count.slowest, late);
    if (late > longestEnd) fault(`${story}: rank ${rank} ended ${seconds.toFixed(1)} s after it`);
    // Who writes when the disk is full, and which side of a cable hears nothing, is not for the campaign to say.
    const named = new RegExp(`rank ${name === 'cable' ? 1 - rank : victim}(?!\\d)`, 'u');
    const wanted = name === 'disk' ? /no space/u : isVictim ? /memory/u : named;
    if (code !== 1 || stderr.trim().split('\n').length !== 1 || !wanted.test(stderr))
      fault(`${story}: rank ${rank} of ${size} does not say ${wanted}, but ends with ${code}: ${stderr}`);
  }
}

function bytesOf(folder) {
  return readdirSync(folder, { recursive: true }).reduce((sum, name) => {
    const info = statSync(join(folder, name));
    return sum + (info.isFile() ? info.size : 0);
  }, 0);
}

/**
 * Runs all ranks to their end. Resolves to how each ended, and how many seconds after the first that was hurt, less
 * those in which it, or this process, waited for a processor.
 */
async function runRanks(one, out, size, hurt) {
  const port = String(await freePort());
  const { way } = hurt ?? {};
  let struck;
  let open = size;
  const started = [];
  const ranks = Array.from({ length: size }, (_, rank) => {
    const env = { RANK: rank, LOCAL_RANK: rank, WORLD_SIZE: size, LOCAL_WORLD_SIZE: size, SECONDS: way?.seconds ?? 60 };
    const command = [...(way?.hosts?.(rank) ?? []), process.execPath, child, JSON.stringify(requestOf(one, out))];
    const running = spawn(command[0], command.slice(1), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        OMP_NUM_THREADS: '1',
        MASTER_ADDR: '127.0.0.1',
        MASTER_PORT: port,
        ...way?.env,
        ...Object.fromEntries(Object.entries(env).map(([name, value]) => [name, String(value)])),
      },
    });
    started.push(running);
    let stderr = '';
    running.stderr.on('data', (data) => {
      stderr = (stderr + data).slice(-800);
    });
    // What it has waited for a processor: when one was hurt, and last seen.
    let delays;
    const watch = setInterval(() => {
      const own = delayOf(running.pid);
      if (!Number.isFinite(struck) || own === 0) return;
      const delay = own + delayOf(process.pid);
      delays = [delays?.[0] ?? delay, delay];
    }, 100);
    let events = 0;
    running.stdout.on('data', (data) => {
      events += data.toString().split('\n').length - 1;
      if (hurt?.rank !== rank || struck !== undefined || events < hurt.event) return;
      struck = Number.POSITIVE_INFINITY;
      setTimeout(() => {
        struck = Date.now();
        if (running.exitCode === null) way.strike({ running });
      }, hurt.delay);
    });
    return new Promise((resolve) =>
      running.on('close', (code, signal) => {
        clearInterval(watch);
        const [before, after] = delays ?? [0, 0];
        const seconds = (Date.now() - (struck ?? Date.now())) / 1000 - (after - before);
        resolve({ code: signal ?? code, stderr, events, seconds });
        if (--open === 1 && way?.still && Number.isFinite(struck)) started[hurt.rank]?.kill('SIGKILL');
      }),
    );
  });
  return Promise.all(ranks);
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

// Kills single ranks of runs that several processes share: the others must end by themselves with a message that names
// the dead rank, and the resumed run must come to the bytes of one that nobody hurt.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { random } from './lib/random.mjs';
import { difference, filesOf, kinds, makeTasks, requestOf } from './lib/runs.mjs';
import { timer } from './lib/timer.mjs';

const child = fileURLToPath(new URL('lib/rank.mjs', import.meta.url));
/** Within so many seconds of the death the others must have ended. */
const longestEnd = 10;

export async function run({ minutes, seed, kind }) {
  const draw = random(`ranks-${seed}`);
  const folder = mkdtempSync(join(tmpdir(), 'promot-ranks-'));
  const isOver = timer(minutes);
  const count = { runs: 0, kills: 0, faults: 0, slowest: 0 };
  const fault = (what) => {
    count.faults++;
    console.log(`FAULT: ${what}`);
  };
  try {
    const all = kinds(makeTasks(folder)).filter(({ name }) => kind === undefined || name === kind);
    const wholes = new Map();
    for (let i = 0; i === 0 || !isOver(); i++) {
      const [one, size] = [all[i % all.length], 2 + (i % 2)];
      const key = `${one.name} of ${size}`;
      if (!wholes.has(key)) {
        const out = join(folder, `whole-${i}`);
        const ranks = await runRanks(one, out, size);
        const failed = ranks.find(({ code }) => code !== 0);
        if (failed) throw new Error(`${key}: the run that nobody hurt ended with ${failed.code}: ${failed.stderr}`);
        wholes.set(key, { events: ranks[0].events, files: filesOf(out) });
      }
      const whole = wholes.get(key);
      const out = join(folder, `run-${i}`);
      const story = [];
      for (let kills = 1 + draw.below(2); ; kills--) {
        const hurt = kills > 0 && {
          rank: draw.below(size),
          event: 1 + draw.below(whole.events),
          delay: draw.below(60),
        };
        const ranks = await runRanks(one, out, size, hurt || undefined);
        const victim = ranks.findIndex(({ code }) => code === 'SIGKILL');
        if (victim < 0) {
          const failed = ranks.find(({ code }) => code !== 0);
          const problem = failed
            ? `ended with ${failed.code}: ${failed.stderr}`
            : difference(whole.files, filesOf(out));
          if (problem) fault(`${key}: ${problem} (${story.join(', ')})`);
          break;
        }
        count.kills++;
        story.push(`rank ${victim} killed ${hurt.delay} ms after its event ${hurt.event}`);
        for (const [rank, { code, stderr, seconds }] of ranks.entries()) {
          // One that had come to its end before may have ended well.
          if (rank === victim || code === 0) continue;
          count.slowest = Math.max(count.slowest, seconds);
          if (seconds > longestEnd) fault(`${key}: rank ${rank} ended ${seconds.toFixed(1)} s after rank ${victim}`);
          if (code !== 1 || stderr.trim().split('\n').length !== 1 || !stderr.includes(`rank ${victim}`))
            fault(`${key}: rank ${rank} does not name rank ${victim}, but ends with ${code}: ${stderr}`);
        }
      }
      count.runs++;
      rmSync(out, { recursive: true, force: true });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(
    `ranks: ${count.runs} runs, ${count.kills} kills, the others ended within ${count.slowest.toFixed(1)} s, ${count.faults} faults (seed ${seed})`,
  );
  return count.faults;
}

/** Runs all ranks to their end. Resolves to how each ended, and how long after the first that was killed. */
async function runRanks(one, out, size, hurt) {
  const port = String(await freePort());
  let killed;
  const ranks = Array.from({ length: size }, (_, rank) => {
    const env = { RANK: rank, LOCAL_RANK: rank, WORLD_SIZE: size, LOCAL_WORLD_SIZE: size };
    const running = spawn(process.execPath, [child, JSON.stringify(requestOf(one, out))], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...{ ...process.env, OMP_NUM_THREADS: '1', MASTER_ADDR: '127.0.0.1', MASTER_PORT: port },
        ...Object.fromEntries(Object.entries(env).map(([name, value]) => [name, String(value)])),
      },
    });
    let stderr = '';
    running.stderr.on('data', (data) => {
      stderr = (stderr + data).slice(-800);
    });
    let events = 0;
    running.stdout.on('data', (data) => {
      events += data.toString().split('\n').length - 1;
      if (hurt?.rank !== rank || killed !== undefined || events < hurt.event) return;
      killed = Number.POSITIVE_INFINITY;
      setTimeout(() => {
        killed = Date.now();
        running.kill('SIGKILL');
      }, hurt.delay);
    });
    return new Promise((resolve) =>
      running.on('close', (code, signal) =>
        resolve({ code: signal ?? code, stderr, events, seconds: (Date.now() - (killed ?? Date.now())) / 1000 }),
      ),
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

// Training runs in child processes that are killed at random moments and go on until they end; then their bytes are
// compared with those of a run that was not hurt.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RandomStream } from '../../../packages/core/dist/base/index.js';
import { timer } from './timer.mjs';

const root = new URL('../../../', import.meta.url);
const child = fileURLToPath(new URL('packages/core/test/train-child.mjs', root));
const golden = (name) => fileURLToPath(new URL(`packages/core/golden/models/${name}`, root));

const stage = { steps: 6, keepEvery: 2 };
const settings = {
  seed: 0,
  precision: 'fp32',
  batchSize: 6,
  microBatchSize: 4,
  promptLength: 3,
  beams: 1,
  stage1: stage,
  stage2: { ...stage, learningRate: 0.01 },
};

/**
 * All methods, and what makes a run other than the plain one: LoRA in the weights' place, a keep list, several tasks,
 * bf16.
 */
export function kinds(tasks) {
  const [task, other] = tasks;
  const plain = ['promot', 'fine-tune', 'prompt-tune', 'joint', 'random-prompt', 'lora', 'lora-first'].map(
    (method, i) => ({
      name: method,
      method,
      task,
      model: i % 2 === 0 ? 't5-v1.1' : 'llama',
    }),
  );
  return [
    ...plain,
    {
      name: 'promot, LoRA in stage 2',
      method: 'promot',
      task,
      model: 'llama',
      more: { stage2: { ...settings.stage2, loraRank: 2 } },
    },
    {
      name: 'promot, keep list',
      method: 'promot',
      task,
      model: 't5-v1.1',
      more: { keep: { tasks: [other], shots: 1, limit: 2 } },
    },
    { name: 'promot, two tasks', method: 'promot', task: [task, other], model: 't5-v1.1' },
    { name: 'fine-tune, bf16', method: 'fine-tune', task, model: 't5-v1.1', more: { precision: 'bf16' } },
  ];
}

/**
 * Runs until the time is over.
 * @param options.damage called with the run's folder and a random stream after each kill; what it did, in words, or
 * undefined
 * @returns faults found
 */
export async function killRuns({ title, seed, kind, damage = undefined, ...length }) {
  const random = new RandomStream(seed);
  const folder = mkdtempSync(join(tmpdir(), 'promot-faults-'));
  const isOver = timer(length);
  const count = { runs: 0, kills: 0, damages: 0, faults: 0 };
  try {
    const all = kinds(makeTasks(folder)).filter(({ name }) => kind === undefined || name === kind);
    const wholes = new Map();
    for (let i = 0; !isOver() || i === 0; i++) {
      const one = all[i % all.length];
      if (!wholes.has(one)) wholes.set(one, await wholeRun(one, join(folder, `whole-${i}`)));
      const whole = wholes.get(one);
      const out = join(folder, `run-${i}`);
      const story = [];
      let last;
      // The later ones fall into what is left.
      for (let kills = 1 + random.integer(6); ; kills--) {
        // A moment after some event of the run, or once in a while before the first.
        const kill = kills > 0 && { event: random.integer(Math.ceil(whole.events / kills)), delay: random.integer(60) };
        last = await runChild(one, out, kill || undefined);
        if (last.code !== 'killed') break;
        count.kills++;
        story.push(`killed ${kill.delay} ms after event ${kill.event}`);
        const done = damage?.(out, random);
        if (done) {
          count.damages++;
          story.push(done);
        }
      }
      count.runs++;
      const problem =
        last.code === 0 ? difference(whole.files, filesOf(out)) : `ended with code ${last.code}: ${last.stderr}`;
      if (problem) {
        count.faults++;
        console.log(`FAULT: ${one.name}: ${problem} (${story.join(', ')}); kept: ${out}`);
      } else rmSync(out, { recursive: true, force: true });
    }
  } finally {
    if (count.faults === 0) rmSync(folder, { recursive: true, force: true });
  }
  const damages = damage ? `, ${count.damages} damages` : '';
  console.log(
    `${title}: ${count.runs} runs, ${count.kills} kills${damages}, ${count.runs - count.faults} equal, ` +
      `${count.faults} faults (seed ${seed})`,
  );
  return count.faults;
}

async function wholeRun(one, out) {
  const { code, stderr, events } = await runChild(one, out, undefined);
  if (code !== 0) throw new Error(`${one.name}: the run that nobody hurt ended with code ${code}: ${stderr}`);
  return { events, files: filesOf(out) };
}

/** What `train` is asked for: a new run, or that of the folder `out`. */
export function requestOf({ method, task, model, more }, out) {
  const all = { ...settings, ...more };
  return { method, task, model: golden(model), out, settings: all, resume: existsSync(out) };
}

function runChild(one, out, kill) {
  const running = spawn(process.execPath, [child, JSON.stringify(requestOf(one, out))], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, OMP_NUM_THREADS: '1' },
  });
  let stderr = '';
  running.stderr.on('data', (data) => {
    stderr = (stderr + data).slice(-500);
  });
  let events = 0;
  let timer;
  const look = () => {
    if (kill && timer === undefined && events >= kill.event)
      timer = setTimeout(() => running.kill('SIGKILL'), kill.delay);
  };
  running.stdout.on('data', (data) => {
    events += data.toString().split('\n').length - 1;
    look();
  });
  look();
  return new Promise((resolve) =>
    running.on('exit', (code, signal) => {
      clearTimeout(timer);
      resolve({ code: signal === 'SIGKILL' ? 'killed' : (code ?? signal), stderr, events });
    }),
  );
}

/** Hashes of a run's results, and its metrics without what the clock says. */
export function filesOf(out) {
  const files = new Map();
  for (const name of readdirSync(out, { recursive: true })) {
    const path = join(out, name);
    if (/^(prompt|prompts|lora|model)\//u.test(name) && statSync(path).isFile())
      files.set(
        name,
        createHash('sha256')
          .update(withoutPlace(readFileSync(path), out))
          .digest('hex'),
      );
    if (/(^|\/)lock|\.tmp/u.test(name)) files.set(name, 'left over');
  }
  const lines = readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n');
  const metrics = lines.map((line) => {
    const { tokensPerSecond, elapsed, remaining, memory, ...rest } = JSON.parse(line);
    return JSON.stringify(rest);
  });
  // In their order, unless an earlier stage was made anew when a later one had begun.
  files.set('metrics.jsonl', metrics.sort().join('\n'));
  return files;
}

/** Some files name the run's folder. */
function withoutPlace(bytes, out) {
  return bytes.length > 100_000 ? bytes : bytes.toString('latin1').replaceAll(out, 'OUT');
}

/** What differs, in words; undefined where nothing does. */
export function difference(whole, found) {
  for (const name of new Set([...whole.keys(), ...found.keys()]))
    if (whole.get(name) !== found.get(name)) return `${name} is not that of the run that nobody hurt`;
  return undefined;
}

/** Two tasks with a few examples; their paths. */
export function makeTasks(folder) {
  return ['colours', 'shades'].map((name, i) => {
    const place = join(folder, name);
    mkdirSync(place);
    const labels = i === 0 ? ['True', 'False'] : ['Yes', 'No'];
    const textOf = (n) => `The ${n % 2 ? 'new' : 'red'} ${['river', 'garden', 'train'][n % 3]} ${n}`;
    const line = (n) => `${JSON.stringify({ text: textOf(n), label: labels[n % 2] })}\n`;
    const lines = (from, to) => Array.from({ length: to - from }, (_, n) => line(from + n)).join('');
    writeFileSync(join(place, 'train.jsonl'), lines(0, 24));
    writeFileSync(join(place, 'validation.jsonl'), lines(24, 30));
    const yaml = [
      `name: ${name}`,
      'files: { train: train.jsonl, validation: validation.jsonl }',
      'input: "{text} question: Is it red? answer:"',
      'target: "{label}"',
      `labels: ${JSON.stringify(labels)}`,
      'metric: accuracy',
    ];
    writeFileSync(join(place, 'task.yaml'), `${yaml.join('\n')}\n`);
    return join(place, 'task.yaml');
  });
}

/** Paths of the files of a run's checkpoints. */
export function checkpointFiles(out) {
  const folder = join(out, 'checkpoints');
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true })
    .map((name) => join(folder, name))
    .filter((path) => !/damaged|\.tmp/u.test(relative(folder, path)) && statSync(path).isFile());
}

#!/usr/bin/env node
// What several processes cost: memory of each rank with `shard=true`, and processor time of computation and of exchange.
//
//   node bench/ranks.mjs [--width 512] [--layers 8] [--steps 3]
//
// A Llama of that shape with random weights is fine-tuned with AdamW on made-up lines, by 1, 2 and 4 processes of a thread
// each. Memory is what the system counts (RssAnon, read 20 times a second, without what the process had before it loaded
// the model: Node.js, libtorch and promot, which have computed something small). Processor time is that of a step after the first: of the thread that computes, and of all others, which are
// those of Gloo, of the store and of Node.js.
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildModel, loadFolder, RandomWeights, saveModel } from '@promot/core/models';
import { train } from '@promot/core/train';
import { distributed, randn, scope, tuneProcess } from '@promot/torch';

const { values } = parseArgs({
  options: {
    width: { type: 'string', default: '512' },
    layers: { type: 'string', default: '8' },
    steps: { type: 'string', default: '3' },
    child: { type: 'string' },
  },
});
const steps = Number(values.steps);
if (!(steps >= 2)) throw new Error('--steps: at least 2, because the first step is not counted');
if (values.child) await rank(JSON.parse(values.child));
else await measure();

/** One rank: trains, and prints the processor time of the steps after the first. */
async function rank(request) {
  tuneProcess();
  // What libtorch sets up once is no part of the training.
  const x = randn([64, 64], 1);
  x.requiresGrad = true;
  scope(() => x.matmul(x).softmax(1).sum().backward());
  x.dispose();
  process.stdout.write(`{"type":"begins"}\n`);
  if (process.env.RANK !== undefined) await distributed.initProcessGroup();
  let first;
  const held = [];
  const onEvent = ({ type, step, text = '' }) => {
    if (/ held /.test(text)) held.push(text);
    if (type !== 'step') return;
    if (step === 1) first = times();
    if (step !== steps) return;
    const last = times();
    const each = (key) => (last[key] - first[key]) / (steps - 1);
    process.stdout.write(
      `${JSON.stringify({ type: 'time', main: each('main'), others: each('others'), wall: each('wall') })}\n`,
    );
  };
  await train({ ...request, onEvent });
  if (process.env.RANK !== undefined) await distributed.destroyProcessGroup();
  process.stdout.write(`${JSON.stringify({ type: 'held', held })}\n`);
}

/** Seconds of processor time so far, by thread, and of the clock. */
function times() {
  const sum = { main: 0, others: 0, wall: performance.now() / 1000 };
  for (const task of readdirSync('/proc/self/task')) {
    // Fields behind the name in parentheses: user and system time in ticks of 10 ms are the 12th and the 13th.
    const fields = readFileSync(`/proc/self/task/${task}/stat`, 'utf8')
      .replace(/^.*\) /u, '')
      .split(' ');
    sum[Number(task) === process.pid ? 'main' : 'others'] += (Number(fields[11]) + Number(fields[12])) / 100;
  }
  return sum;
}

async function measure() {
  const folder = mkdtempSync(join(tmpdir(), 'promot-ranks-bench-'));
  try {
    const { model, parameters, block } = await makeModel(folder);
    const task = makeTask(folder);
    console.log(
      `${(parameters / 1e6).toFixed(1)} million parameters in fp32: ${mb(4 * parameters)}; the largest block ${mb(4 * block)}`,
    );
    const all = [...[1, 2].map((size) => ({ size, shard: false })), ...[2, 4].map((size) => ({ size, shard: true }))];
    for (const { size, shard } of all) {
      const out = join(folder, `run-${size}-${shard}`);
      const stage2 = { steps, keepEvery: steps, optimizer: 'adamw', learningRate: 0.0001 };
      const settings = {
        ...{ preset: 'paper', precision: 'fp32', batchSize: 8, microBatchSize: 2, beams: 1, shard, stage2 },
        activationCheckpointing: 'on',
      };
      const ranks = await runRanks({ model, task, method: 'fine-tune', out, settings }, size);
      const [{ main, others, wall }] = ranks;
      console.log(
        `${size} ${size === 1 ? 'process' : 'processes'}${shard ? ', shard=true' : ''}: a step takes ${main.toFixed(2)} s of the computing ` +
          `thread, ${others.toFixed(2)} s of the others, ${wall.toFixed(2)} s of the clock; memory of each rank ` +
          ranks.map(({ peak }) => mb(peak)).join(', '),
      );
      for (const { held } of ranks) for (const text of held) console.log(`  ${text}`);
      rmSync(out, { recursive: true, force: true });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function mb(bytes) {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

async function makeModel(folder) {
  const golden = fileURLToPath(new URL('../packages/core/golden/models/llama', import.meta.url));
  const path = join(folder, 'model');
  const [width, layers] = [Number(values.width), Number(values.layers)];
  const config = {
    ...JSON.parse(readFileSync(join(golden, 'config.json'), 'utf8')),
    ...{ hidden_size: width, intermediate_size: Math.round((2.75 * width) / 16) * 16, num_hidden_layers: layers },
    ...{ num_attention_heads: 8, num_key_value_heads: 8, head_dim: width / 8 },
  };
  const model = buildModel(config, new RandomWeights(1, 'float32'), 'config.json');
  cpSync(golden, path, { recursive: true });
  await saveModel(path, { model, tokenizer: loadFolder(golden, 'float32').tokenizer });
  const parameters = [...model.parameters.values()].reduce((sum, { numel }) => sum + numel, 0);
  const sizes = model.blocks.list.map((one) => one.parameters().reduce((sum, { numel }) => sum + numel, 0));
  return { model: path, parameters, block: Math.max(...sizes) };
}

function makeTask(folder) {
  const place = join(folder, 'task');
  mkdirSync(place);
  const line = (n) =>
    `${JSON.stringify({ text: `The ${n % 2 ? 'new' : 'red'} river ${n} `.repeat(12), label: n % 2 ? 'True' : 'False' })}\n`;
  const lines = (count) => Array.from({ length: count }, (_, n) => line(n)).join('');
  writeFileSync(join(place, 'train.jsonl'), lines(32));
  writeFileSync(join(place, 'validation.jsonl'), lines(2));
  const path = join(place, 'task.yaml');
  const files = 'files: { train: train.jsonl, validation: validation.jsonl }';
  writeFileSync(
    path,
    `name: colours\n${files}\ninput: "{text}"\ntarget: "{label}"\nlabels: ["True", "False"]\nmetric: accuracy\n`,
  );
  return path;
}

async function runRanks(request, size) {
  const port = String(await freePort());
  return Promise.all(
    Array.from({ length: size }, (_, rank) => {
      const group = {
        RANK: rank,
        LOCAL_RANK: rank,
        WORLD_SIZE: size,
        LOCAL_WORLD_SIZE: size,
        MASTER_ADDR: '127.0.0.1',
        MASTER_PORT: port,
      };
      const env = { ...process.env, OMP_NUM_THREADS: '1', ...(size > 1 && group) };
      const args = ['--steps', String(steps), '--child', JSON.stringify(request)];
      const running = spawn(process.execPath, [fileURLToPath(import.meta.url), ...args], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: Object.fromEntries(Object.entries(env).map(([name, value]) => [name, String(value)])),
      });
      const found = { peak: 0, held: [] };
      let before;
      const look = () => {
        try {
          const status = readFileSync(`/proc/${running.pid}/status`, 'utf8');
          const bytes = 1024 * Number(status.match(/RssAnon:\s+(\d+)/u)?.[1] ?? 0);
          if (before !== undefined) found.peak = Math.max(found.peak, bytes - before);
          return bytes;
        } catch {
          return 0;
        }
      };
      const timer = setInterval(look, 50);
      let text = '';
      running.stdout.on('data', (data) => {
        text += data;
        before ??= look();
      });
      return new Promise((resolve, reject) =>
        running.on('close', (code) => {
          clearInterval(timer);
          if (code !== 0) reject(new Error(`rank ${rank} ended with ${code}`));
          for (const line of text.trim().split('\n')) Object.assign(found, JSON.parse(line));
          resolve(found);
        }),
      );
    }),
  );
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}

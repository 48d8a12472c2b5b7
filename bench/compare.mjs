// Runs promot and PyTorch + Transformers + PEFT in turn on the same work and prints times, memory and their ratios.
//
//   node bench/compare.mjs --python venv/bin/python [--steps 3] [--rounds 2] [--only 't5.* 2$']
//   node bench/compare.mjs --python venv/bin/python --precision bf16 --batch 2 --only 'stage [12]$'   # in place of the defaults
//   node bench/compare.mjs --python venv/bin/python --device cuda      # larger shapes; says so where there is no GPU
//
// On a GPU, `TFLOP/s` are those of the linear layers' products alone, and times end when the GPU has done its work.
// Where the machine does other work too, `cpu ratio` (processor time of all threads) says more than `time ratio`, and
// most with OMP_NUM_THREADS=1, because the peer's threads spin while they wait.
//
// `tokens/s` are promot's. `products` is the share of its processor time that the linear layers' products would take at
// the rate of a large product: `cpu ratio` times that would be left with nothing beside them.
//
// The Python environment needs: pip install torch==2.13.0 transformers==5.17.0 peft==0.21.0
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chooseDevice } from '../packages/core/dist/models/index.js';

const { values } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    steps: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '2' },
    only: { type: 'string', default: '' },
    device: { type: 'string', default: 'cpu' },
    precision: { type: 'string' },
    batch: { type: 'string' },
  },
});
const isGpu = values.device === 'cuda';
try {
  if (isGpu) chooseDevice('cuda');
  else if (values.device !== 'cpu') throw new Error(`--device ${values.device}: cpu or cuda`);
} catch (error) {
  console.error(`${error.message}. Nothing was measured.`);
  process.exit(2);
}
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const onCpu = [
  ...['bare', '1', '2'].map((stage) => ['train-step', '--model', 't5-v1.1-small', '--stage', stage]),
  ...['1', '2'].map((stage) => ['train-step', '--model', 'smollm2-135m', '--stage', stage]),
  // XSum has 40 lengths; eight of them warm up.
  ...[
    ['multi30k-en-fr', '64'],
    ['rte', '64'],
    ['xsum', '32'],
  ].flatMap(([task, batch]) =>
    ['1', '2'].map((stage) => [
      ...['train-step', '--model', 'smollm2-135m', '--stage', stage],
      ...['--lengths', task, '--batch', batch],
    ]),
  ),
  // Long answers of a large vocabulary.
  ['train-step', '--model', 'gemma-3-270m', '--stage', '2', '--target', '256'],
  ...['adafactor', 'adamw'].map((name) => ['optimizer', '--model', 'smollm2-135m', '--optimizer', name]),
  ['generate', '--model', 't5-v1.1-small', '--beams', '4', '--new-tokens', '32'],
];
const train = (model, stage, ...more) => ['train-step', '--model', model, '--stage', stage, ...more];
const onGpu = [
  ...['1', '2'].map((stage) => train('t5-v1.1-large', stage)),
  ...['1', '2'].map((stage) => train('llama-1b', stage)),
  // Plain fine-tuning and LoRA, with a loss on half of the 2,048 places.
  train('llama-1b', 'bare', '--source', '1024', '--target', '1024'),
  train('llama-8b', 'lora', '--source', '1024', '--target', '1024'),
];
/** What is set for all work in place of its defaults. */
const own = ['precision', 'batch'].flatMap((name) => (values[name] ? [`--${name}`, values[name]] : []));
const work = (isGpu ? onGpu : onCpu).filter((args) => new RegExp(values.only, 'u').test(args.join(' ')));

function measure(command, script, args) {
  const { stdout, stderr, status } = spawnSync(
    command,
    [here(script), ...args, ...own, '--steps', values.steps, '--device', values.device],
    {
      encoding: 'utf8',
    },
  );
  if (status !== 0) throw new Error(`${script} ${args.join(' ')} failed:\n${stderr}`);
  return JSON.parse(stdout.trim().split('\n').at(-1));
}
const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
const mean = (numbers) => numbers.reduce((a, b) => a + b) / numbers.length;
const gigabytes = (bytes) => (bytes / 1e9).toFixed(2);

if (isGpu)
  console.log(
    '| work | promot s | peer s | time ratio | promot tokens/s | promot TFLOP/s |\n|---|---|---|---|---|---|',
  );
else
  console.log(
    '| work | promot s | peer s | time ratio | cpu ratio | tokens/s | products | promot GB | peer GB |\n|---|---|---|---|---|---|---|---|---|',
  );
for (const args of work) {
  // Steps of real lengths differ, and the peer's differ from promot's: only all of them together hold the same examples.
  const middle = args.includes('--lengths') ? mean : median;
  const ours = [];
  const theirs = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    ours.push(measure(process.execPath, 'promot.mjs', args));
    // A whole batch of real lengths takes the peer more than 24 GB.
    const passes = args.includes('--lengths') ? ['--pass-size', '8'] : [];
    theirs.push(measure(values.python, 'peer.py', [...args, ...passes]));
  }
  const [a, b] = [ours, theirs].map((runs) => middle(runs.flatMap((run) => run.seconds)));
  const name = args.join(' ').replaceAll('--', '');
  if (isGpu) {
    const of = (key) => median(ours.map((run) => run[key])).toPrecision(3);
    console.log(
      `| ${name} | ${a.toFixed(3)} | ${b.toFixed(3)} | ${(a / b).toFixed(2)} | ${of('tokensPerSecond')} | ${of('teraflops')} |`,
    );
    continue;
  }
  const [c, d] = [ours, theirs].map((runs) => middle(runs.flatMap((run) => run.cpuSeconds)));
  const [m, n] = [ours, theirs].map((runs) => Math.max(...runs.map((run) => run.peakRssBytes)));
  console.log(
    `| ${name} | ${a.toFixed(2)} | ${b.toFixed(2)} | ${(a / b).toFixed(2)} | ${(c / d).toFixed(2)} | ${ours[0].tokensPerSecond ?? ''} | ${ours[0].productShare ?? ''} | ${gigabytes(m)} | ${gigabytes(n)} |`,
  );
}

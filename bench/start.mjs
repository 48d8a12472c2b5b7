// How long promot takes to answer and to begin: `promot --help`, the imports of its entries, and from the start of
// `promot train` to the end of its first step.
//
//   node bench/start.mjs --model SMOLLM2.gguf --data DATA [--rounds 5]
//
// Prints medians, in seconds of the clock; up to the first step also of processor time, of all threads
// and of the main one, which nothing can be quicker than (on Linux).
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { model: { type: 'string' }, data: { type: 'string' }, rounds: { type: 'string', default: '5' } },
});
/** Linux counts processor time in hundredths of a second. */
const ticks = 100;
const promot = fileURLToPath(new URL('../packages/promot/bin/promot.js', import.meta.url));

/** Milliseconds of the clock that an import takes in a new process. */
function importTime(entry) {
  const file = fileURLToPath(new URL(`../packages/promot/dist/${entry}.js`, import.meta.url));
  const code = `const t = performance.now(); await import(${JSON.stringify(file)}); console.log(performance.now() - t)`;
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`promot/${entry} cannot be imported:\n${run.stderr}`);
  return Number(run.stdout);
}

/**
 * Seconds from the start of a command until `isThere` says so, asked every few milliseconds, or else to its end.
 * `onThere` is then called with the process's id.
 */
function seconds(args, isThere = () => false, onThere = (_pid) => {}) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(process.execPath, [promot, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const elapsed = () => (performance.now() - started) / 1000;
    let text = '';
    let found;
    const asking = setInterval(() => {
      if (found !== undefined || !isThere()) return;
      found = elapsed();
      onThere(child.pid);
    }, 5);
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk));
    child.on('close', (code) => {
      clearInterval(asking);
      if (code === 0) resolve(found ?? elapsed());
      else reject(new Error(`promot ${args.join(' ')} failed:\n${text}`));
    });
  });
}

/**
 * Seconds of processor time that a process has taken, all its threads together, or its main thread alone; undefined where
 * the system has no /proc.
 */
function processorTime(pid, ofMainThread = false) {
  const stat = ofMainThread ? `/proc/${pid}/task/${pid}/stat` : `/proc/${pid}/stat`;
  if (!existsSync(stat)) return undefined;
  // Behind the program's name, which may hold spaces: the 12th and 13th field count the user's and the system's ticks.
  const fields = readFileSync(stat, 'utf8').split(') ').at(-1).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticks;
}

async function median(measure) {
  const found = [];
  for (let round = 0; round < Number(values.rounds); round++) found.push(await measure());
  return found.sort((a, b) => a - b)[Math.floor(found.length / 2)];
}

console.log(`promot --help: ${(await median(() => seconds(['--help']))).toFixed(2)} s`);
for (const entry of ['errors', 'metrics', 'report', 'tasks', 'train']) {
  console.log(`import of promot/${entry}: ${(await median(() => importTime(entry))).toFixed(0)} ms`);
}
if (values.model && values.data) {
  const ofProcessor = [];
  const ofMainThread = [];
  const first = () => {
    const out = mkdtempSync(join(tmpdir(), 'promot-start-'));
    const train = ['train', '--model', values.model, '--data', values.data, '--task', 'multi30k-en-fr'];
    const settings = 'preset=paper stage2.steps=1 batchSize=1 microBatchSize=1 validationLimit=1 beams=1';
    const args = [...train, '--method', 'fine-tune', '--out', join(out, 'run'), '--set', ...settings.split(' ')];
    const metrics = join(out, 'run', 'metrics.jsonl');
    const hasStep = () => existsSync(metrics) && readFileSync(metrics, 'utf8').includes('"type":"step"');
    const onThere = (pid) => {
      ofProcessor.push(processorTime(pid));
      ofMainThread.push(processorTime(pid, true));
    };
    return seconds(args, hasStep, onThere).finally(() => rmSync(out, { recursive: true, force: true }));
  };
  console.log(`promot train, start to first step: ${(await median(first)).toFixed(2)} s`);
  const processor = await median(() => ofProcessor.shift());
  const main = await median(() => ofMainThread.shift());
  if (processor !== undefined)
    console.log(`  of processor time: ${processor.toFixed(2)} s, of which the main thread ${main.toFixed(2)} s`);
}

// The first hour of two persons, as they type it, with the built-in model: an engineer with a file of her own, from the
// first command to an answer over HTTP; a researcher who compares methods. Prints how long each command took and fails
// where one does. `node scripts/first-hour.mjs [--keep FOLDER]`.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { setup } from './setup.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({ options: { keep: { type: 'string' } } });
const folder = values.keep ?? mkdtempSync(join(tmpdir(), 'promot-hour-'));
mkdirSync(folder, { recursive: true });
const times = [];

try {
  await timed('npm run setup', setup);
  const bin = join(root, 'packages/promot/bin/promot.js');

  /** Types a command line in the folder and gives what it answered. */
  const promot = (...words) => {
    const shown = words.map((word) => (/^[\w./=,-]+$/u.test(word) ? word : `'${word}'`)).join(' ');
    return timed(`promot ${shown}`, () => {
      const options = {
        cwd: folder,
        encoding: /** @type {const} */ ('utf8'),
        env: { ...process.env, OMP_NUM_THREADS: '1' },
      };
      const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...words], options);
      if (status !== 0) throw new Error(`promot ${shown} ended with ${status}:\n${stderr}`);
      return stdout;
    });
  };

  section('An engineer with a file of her own');
  await writeSentences(join(folder, 'sentences.csv'));
  expect((await promot()).includes('quickstart'), 'the first words name the quickstart');
  const template = 'Translate Enlan to Frelan: {en}';
  const data = ['--data', 'sentences.csv', '--input', template, '--target', '{fr}'];
  const quick = ['stage1.steps=8', 'stage1.learningRate=1', 'stage2.steps=20', 'stage2.learningRate=0.003'];
  await promot(
    'train',
    '--model',
    'lab',
    ...data,
    '--out',
    'runs/french',
    '--set',
    'batchSize=16',
    'dropout=0',
    ...quick,
  );
  expect(existsSync(join(folder, 'runs/french/task.yaml')), 'the task is written down');
  const record = '{"en": "thark smash plirk plash whilm whalm whelm crelm."}';
  const answer = (await promot('generate', '--model', 'runs/french', '--task', 'french', '--record', record)).trim();
  console.log(`  it says: ${answer}`);
  expect(answer.length > 0, 'an answer');
  const own = JSON.parse(
    await promot(
      'eval',
      '--model',
      'runs/french',
      '--prompt',
      'runs/french',
      '--task',
      'french',
      '--beams',
      '1',
      '--json',
    ),
  );
  console.log(`  ${own.metric} ${own.score.toFixed(1)} on ${own.n} sentences that it was not trained on`);
  const elsewhere = (model, out) => {
    const asked = ['--task', 'lab-translation', '--shots', '1', '--limit', '12', '--beams', '1'];
    return promot('eval', '--model', model, ...asked, '--out', out);
  };
  await elsewhere('runs/french', 'results/french');
  await elsewhere('lab', 'results/pretrained');
  await promot('report', 'runs/french', 'results/pretrained', 'results/french');
  expect(
    readFileSync(join(folder, 'report/index.html'), 'utf8').includes('promot on french'),
    'the report has a title',
  );
  await timed('promot serve, one request, SIGTERM', () => serve(bin, answer));

  section('A researcher who compares');
  const common = {
    model: 'lab',
    task: 'runs/french/task.yaml',
    batchSize: 8,
    dropout: 0,
    beams: 1,
    validationLimit: 10,
    promptLength: 10,
  };
  const stages = { stage1: { steps: 2, keepEvery: 2 }, stage2: { steps: 2, keepEvery: 2 } };
  const sweep = { sweep: { grid: { method: ['fine-tune', 'promot'] }, seeds: 1 } };
  // JSON is YAML.
  writeFileSync(join(folder, 'sweep.yaml'), JSON.stringify({ ...common, ...stages, ...sweep }, null, 2));
  writeFileSync(
    join(folder, 'run.yaml'),
    JSON.stringify({ ...common, ...stages, method: 'fine-tune', out: 'runs/plain' }),
  );
  await promot('train', '--config', 'run.yaml', '--dry-run');
  await promot('train', '--config', 'run.yaml');
  await promot('train', '--resume', 'runs/plain', '--set', 'stage2.steps=4');
  await promot('sweep', '--config', 'sweep.yaml', '--out', 'sweeps/methods');
  expect(existsSync(join(folder, 'sweeps/methods/index.html')), 'the sweep has one report');
  await promot('compare', 'results/pretrained', 'results/french');
} finally {
  if (values.keep === undefined) rmSync(folder, { recursive: true, force: true });
}

const sum = times.reduce((seconds, one) => seconds + one.seconds, 0);
console.log(`\n${times.map(({ what, seconds }) => `${seconds.toFixed(1).padStart(7)} s  ${what}`).join('\n')}`);
console.log(`${sum.toFixed(1).padStart(7)} s  in all`);

/** Runs a step and notes how long it took. */
async function timed(what, work) {
  const started = performance.now();
  const result = await work();
  times.push({
    what: what.length > 100 ? `${what.slice(0, 97)}...` : what,
    seconds: (performance.now() - started) / 1000,
  });
  return result;
}

function section(title) {
  console.log(`\n${title}`);
}

function expect(holds, what) {
  if (!holds) throw new Error(`expected: ${what}`);
}

/** Parallel sentences of the built-in world, as a person's own file. */
async function writeSentences(path) {
  const { translationExample } = await import('../packages/promot/dist/inner.js');
  const example = translationExample('en', 'fr');
  const rows = Array.from({ length: 80 }, (_, i) => {
    const { input, target } = example('train', i);
    return `${input.replace(/^[^:]*: /u, '')},${target}`;
  });
  writeFileSync(path, `en,fr\n${rows.join('\n')}\n`);
}

/** Asks a served run what the command line has answered already. */
async function serve(bin, answer) {
  const child = spawn(process.execPath, [bin, 'serve', '--model', 'runs/french', '--port', '0', '--json'], {
    cwd: folder,
  });
  const exit = once(child, 'exit');
  const [line] = await once(child.stdout, 'data');
  const { url } = JSON.parse(String(line));
  const body = JSON.stringify({ record: { en: 'thark smash plirk plash whilm whalm whelm crelm.' }, beams: 4 });
  const response = await fetch(`${url}/v1/tasks/french`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  const { output } = /** @type {{ output: string }} */ (await response.json());
  expect(output === answer, `the server says the same: ${output}`);
  child.kill('SIGTERM');
  const [code] = await exit;
  expect(code === 0, 'the server ends cleanly');
}

// Evaluations side by side: promot, and Transformers' generate as a careful user would call it (eval_peer.py), with the
// same model, prompts and beams on the same machine. Prints examples per second, the ratio, the ratio of processor time
// (which says more where the machine does other work, too), how many outputs are the same, and the operations of the linear layers' products of both, counted where they are called.
//
//   node bench/eval.mjs --model smollm2-135m.gguf --data DATA --python venv/bin/python \
//       [--tasks rte,cb,wic,snli,openbookqa,web_questions,multi30k_en_fr] [--shots 1] [--limit 32] [--beams 4] [--threads 2]
//
// The Python environment needs: pip install torch==2.13.0 transformers==5.17.0. Loading the model is not counted.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    data: { type: 'string' },
    python: { type: 'string', default: 'python3' },
    tasks: { type: 'string', default: 'rte,cb,wic,snli,openbookqa,web_questions,multi30k_en_fr' },
    shots: { type: 'string', default: '1' },
    limit: { type: 'string', default: '32' },
    beams: { type: 'string', default: '4' },
    threads: { type: 'string', default: String(cpus().length) },
  },
});
if (values.model === undefined) throw new Error('--model is missing: see the first lines of this file');
// Before libtorch is loaded.
process.env.OMP_NUM_THREADS = values.threads;
// The peer's threads wait as they do by default, not as promot's.
const peerEnv = { ...process.env };
const { tuneProcess } = await import('../packages/torch/dist/index.js');
tuneProcess();
const { generate, loadTask, openModel, saveModel } = await import('../packages/promot/dist/index.js');
const { maxNewTokens } = await import('../packages/core/dist/evaluation/index.js');
const { evaluationExamples, taskPrompts } = await import('../packages/core/dist/inner.js');
const { tokenizeInput } = await import('../packages/core/dist/models/index.js');

/** Counts the operations of a model's products: a function that gives those since its last call. */
function countProducts(model) {
  let operations = 0;
  let isCounted = false;
  const count = (layers, x) => {
    if (!isCounted) for (const { weight } of layers) operations += (2 * weight.numel * x.numel) / x.size(-1);
  };
  const { constructor: Linear } = model.head;
  const { together } = Linear;
  Linear.together = (layers, x) => {
    count(layers, x);
    isCounted = true;
    try {
      return together(layers, x);
    } finally {
      isCounted = false;
    }
  };
  for (const layer of [...model.linears.values(), model.head]) {
    const forward = layer.forward.bind(layer);
    layer.forward = (x) => {
      count([layer], x);
      return forward(x);
    };
  }
  return () => {
    const since = operations;
    operations = 0;
    return since;
  };
}

const [shots, limit, beams] = [values.shots, values.limit, values.beams].map(Number);
const folder = mkdtempSync(join(tmpdir(), 'promot-bench-'));
try {
  const loaded = await openModel(values.model, 'float32');
  const { model, tokenizer } = loaded;
  await saveModel(join(folder, 'model'), loaded);
  const work = [];
  for (const name of values.tasks.split(',')) {
    const task = await loadTask(name, { data: values.data });
    const examples = await evaluationExamples(task, { limit });
    const newTokens = maxNewTokens(task, loaded, examples);
    const limits = { shots, seed: 0, promptRows: 0, newTokens, maxInputLength: 0 };
    const { inputs } = await taskPrompts(loaded, task, examples, limits);
    const ids = inputs.map((text) => tokenizeInput(text, tokenizer, model.kind));
    work.push({ task: task.name, ids, newTokens });
  }
  // Warm-up: the first products are slower.
  await generate(model, work[0].ids.slice(0, 2), { beams, maxNewTokens: 2 });
  const products = countProducts(model);
  const ours = [];
  for (const { ids, newTokens } of work) {
    const [started, before] = [performance.now(), process.cpuUsage()];
    const results = await generate(model, ids, { beams, maxNewTokens: newTokens });
    const seconds = (performance.now() - started) / 1000;
    const { user, system } = process.cpuUsage(before);
    ours.push({
      seconds,
      cpu: (user + system) / 1e6,
      products: products(),
      outputs: results.map((result) => result.ids),
    });
  }
  writeFileSync(join(folder, 'work.json'), JSON.stringify({ kind: model.kind, beams, work }));
  const peer = fileURLToPath(new URL('eval_peer.py', import.meta.url));
  const arguments_ = [peer, join(folder, 'model'), join(folder, 'work.json'), join(folder, 'peer.json')];
  const { status, stderr } = spawnSync(values.python, arguments_, { encoding: 'utf8', env: peerEnv });
  if (status !== 0) throw new Error(`eval_peer.py failed:\n${stderr}`);
  const theirs = JSON.parse(readFileSync(join(folder, 'peer.json'), 'utf8'));

  console.log(`${values.model}, ${shots}-shot, ${beams} beams, fp32, ${values.threads} threads`);
  console.log(
    '| task | examples | promot examples/s | peer examples/s | ratio | cpu ratio | same outputs | promot GFLOP | peer GFLOP |\n|---|---|---|---|---|---|---|---|---|',
  );
  const row = (name, n, seconds, cpu, same, ...operations) => {
    const [a, b] = seconds;
    const figures = [n, (n / a).toFixed(2), (n / b).toFixed(2), (b / a).toFixed(2), (cpu[1] / cpu[0]).toFixed(2), same];
    console.log(`| ${[name, ...figures, ...operations.map((count) => Math.round(count / 1e9))].join(' | ')} |`);
  };
  const sum = (numbers) => numbers.reduce((total, x) => total + x, 0);
  const same = work.map((_, i) =>
    sum(ours[i].outputs.map((output, j) => Number(String(output) === String(theirs[i].outputs[j])))),
  );
  work.forEach(({ task, ids }, i) => {
    const both = (key) => [ours[i][key], theirs[i][key]];
    row(task, ids.length, both('seconds'), both('cpu'), same[i], ...both('products'));
  });
  const all = (key) => [ours, theirs].map((runs) => sum(runs.map((run) => run[key])));
  row('all', sum(work.map(({ ids }) => ids.length)), all('seconds'), all('cpu'), sum(same), ...all('products'));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

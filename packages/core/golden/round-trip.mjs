#!/usr/bin/env node
// Writes what promot saves, for Transformers and PEFT to check:
//
//     npm run compile && node packages/core/golden/round-trip.mjs OUT && python packages/core/golden/verify.py OUT
//
// Every golden model after one training step, in both precisions, with a soft prompt after one step; and a T5 whose
// file holds a head of its own while its config says tied. Then a run of two stages, whose prompt names its model by
// itself. OUT must not exist. The layout is the one that verify.py describes.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Adafactor, keep, noGrad, scope } from '@promot/torch';
import { ensureAddon } from '@promot/torch/setup';
import { readPromptAdapter, writePromptAdapter } from '../dist/inner.js';
import { idTensor, loadFolder, saveModel } from '../dist/models/index.js';
import { train } from '../dist/training/index.js';

const golden = fileURLToPath(new URL('models', import.meta.url));

/** One Adafactor step of `trained` on the mean loss of a batch. */
function step(model, batch, trained, prompt, options) {
  for (const parameter of trained.values()) parameter.requiresGrad = true;
  const optimizer = new Adafactor(trained, options);
  scope(() => {
    const targets = idTensor(batch.flatMap((example) => example.target)).unsqueeze(1);
    model.logits(batch, { prompt }).float().logSoftmax(-1).gather(1, targets).mean().neg().backward();
    optimizer.step(0.01);
  });
  optimizer.dispose();
  for (const parameter of trained.values()) parameter.requiresGrad = false;
}

/** Saves the model in this precision and its prompt, and writes the logits of what was saved as float32. */
async function write(out, name, source, dtype) {
  const { batch: golden } = JSON.parse(readFileSync(join(source, 'expected.json'), 'utf8'));
  const batch = golden.inputIds.map((input, i) => ({ input, target: golden.targetIds[i] }));
  const trained = loadFolder(source, dtype);
  const prompt = keep(readPromptAdapter(join(source, 'prompt'), trained.model));
  step(trained.model, batch, new Map([['prompt', prompt]]), prompt, { factored: false, scaleByParameter: false });
  step(trained.model, batch, trained.model.parameters, prompt);
  const adapter = `${name}-adapter`;
  await saveModel(join(out, name), trained);
  await writePromptAdapter(join(out, adapter), prompt, trained.model, name);

  const { model } = dtype === 'float32' ? trained : loadFolder(join(out, name), 'float32');
  for (const attached of [undefined, prompt]) {
    const suffix = attached ? 'prompted' : 'plain';
    batch.forEach(({ input, target }, i) => {
      const logits = noGrad(() =>
        scope(() => {
          const all = model.logits([{ input, target }], { prompt: attached });
          return all.split(1).map((row) => row.toNumbers());
        }),
      );
      const found = { model: name, adapter: attached ? adapter : null, input_ids: input, target_ids: target, logits };
      writeFileSync(join(out, `${name}-${suffix}-${i}.json`), JSON.stringify(found));
    });
  }
}

const [out, ...rest] = process.argv.slice(2);
if (!out || rest.length > 0 || existsSync(out)) {
  console.error('usage: round-trip.mjs OUT, a folder that does not exist');
  process.exit(2);
}
mkdirSync(out, { recursive: true });
await ensureAddon();
for (const name of readdirSync(golden))
  for (const dtype of ['float32', 'bfloat16']) await write(out, `${name}-${dtype}`, join(golden, name), dtype);

const untidy = join(out, 'untidy-source');
cpSync(join(golden, 't5-v1.1'), untidy, { recursive: true });
const { scale_decoder_outputs: _, ...config } = JSON.parse(readFileSync(join(untidy, 'config.json'), 'utf8'));
writeFileSync(join(untidy, 'config.json'), JSON.stringify({ ...config, tie_word_embeddings: true }));
await write(out, 't5-untidy-head', untidy, 'float32');

/** A run of two stages on a golden model: what its prompt and its model give together. */
async function writeRun(name) {
  const folder = join(out, `${name}-run`);
  const rows = Array.from({ length: 8 }, (_, i) =>
    JSON.stringify({ text: `the cat ${i}`, label: i % 2 ? 'yes' : 'no' }),
  );
  const task = join(out, 'task.yaml');
  writeFileSync(join(out, 'rows.jsonl'), `${rows.join('\n')}\n`);
  writeFileSync(
    task,
    'name: rows\nfiles: { train: rows.jsonl, validation: rows.jsonl }\ninput: "{text}"\ntarget: "{label}"\n' +
      'metric: exact-match\n',
  );
  const stage = { steps: 2, keepEvery: 1 };
  const settings = {
    precision: 'fp32',
    batchSize: 4,
    promptLength: 3,
    beams: 1,
    stage1: stage,
    stage2: { ...stage, learningRate: 0.1 },
  };
  await train({ model: join(golden, name), task, method: 'promot', out: folder, settings });
  const { model } = loadFolder(join(folder, 'model'), 'float32');
  const prompt = readPromptAdapter(join(folder, 'prompt'), model);
  const [input, target] = [
    [5, 9, 3],
    [7, 4],
  ];
  const logits = noGrad(() =>
    scope(() =>
      model
        .logits([{ input, target }], { prompt })
        .split(1)
        .map((row) => row.toNumbers()),
    ),
  );
  const found = { model: null, adapter: `${name}-run/prompt`, input_ids: input, target_ids: target, logits };
  writeFileSync(join(out, `${name}-run.json`), JSON.stringify(found));
}
for (const name of ['t5-v1.1', 'llama']) await writeRun(name);

// Chooses the learning rates of experiments at scale `lab` (src/experiments/scales.ts):
//
//     node packages/promot/lab/choose-rates.mjs FOLDER   # the runs go to FOLDER; those that are done are not repeated
//
// The rule, the same for every method: seed 100 (experiments use 0, 1, ...), the scale's steps and batch, all else as
// in the experiments. A run's score is the best validation score among its kept checkpoints, which also decides on the
// number of steps. The prompt's rate is chosen by the mean score of prompt tuning over the two targets; with it the
// model's rate by the mean over the two targets and the two methods, fine-tuning and ProMoT; LoRA's, which has another
// optimizer, by its own mean. Of equals the smaller. Needs `npm run setup`.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readTrainingRun } from '../../core/dist/inner.js';
import { train } from '../../core/dist/training/index.js';
import { findScale, merge } from '../dist/inner.js';

const out = process.argv[2];
if (out === undefined) throw new Error('name a folder for the runs');
const targets = ['lab-rte', 'lab-enfr'];
const { settings } = findScale('lab');

async function score(task, method, promptRate, modelRate, loraRank = 0) {
  const folder = join(out, [task, method, promptRate, modelRate].join('-'));
  await train({
    model: 'lab',
    task,
    method,
    out: folder,
    resume: existsSync(folder),
    settings: merge(settings, {
      seed: 100,
      stage1: { learningRate: promptRate },
      stage2: { learningRate: modelRate, loraRank },
    }),
  });
  const lastStage = method === 'prompt-tune' ? 'prompt' : 'model';
  const scores = readTrainingRun(folder)
    .evaluations.filter(({ stage }) => stage === lastStage)
    .map((e) => e.score);
  return Math.max(...scores);
}

/** The rate with the best mean; prints every score. */
async function best(title, rates, scoresAt) {
  let chosen;
  for (const rate of rates) {
    const scores = await scoresAt(rate);
    const mean = scores.reduce((sum, value) => sum + value) / scores.length;
    console.log(`${title} ${rate}: ${scores.map((value) => value.toFixed(1)).join(' ')}, mean ${mean.toFixed(1)}`);
    if (chosen === undefined || mean > chosen.mean) chosen = { rate, mean };
  }
  console.log(`${title}: ${chosen.rate}`);
  return chosen.rate;
}

async function each(list, of) {
  const all = [];
  for (const item of list) all.push(await of(item));
  return all;
}

const promptRate = await best(`prompt's rate (prompt tuning on ${targets.join(', ')})`, [0.1, 0.3, 1], (rate) =>
  each(targets, (task) => score(task, 'prompt-tune', rate, 0.003)),
);
await best(`model's rate (fine-tuning and ProMoT on ${targets.join(', ')})`, [0.001, 0.003, 0.01], async (rate) => [
  ...(await each(targets, (task) => score(task, 'fine-tune', promptRate, rate))),
  ...(await each(targets, (task) => score(task, 'promot', promptRate, rate))),
]);
await best(`LoRA's rate (rank 8, on ${targets.join(', ')})`, [0.0003, 0.001, 0.003, 0.01], (rate) =>
  each(targets, (task) => score(task, 'lora', promptRate, rate, 8)),
);

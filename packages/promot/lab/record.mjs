// Records what the shipped lab models score, for the test beside its code: node packages/promot/lab/record.mjs
// Needs `npm run setup`. Greedy decoding, the first 100 test examples of each task; scores.json is rewritten.
import { existsSync, writeFileSync } from 'node:fs';
import { evaluateLoaded } from '../../core/dist/evaluation/index.js';
import { openModel } from '../../core/dist/open/index.js';
import { loadTask } from '../../core/dist/tasks/index.js';
import { labModelFolder, labModelNames } from '../dist/inner.js';

const tasks = [
  'lab-reading',
  'lab-closed-book',
  'lab-translation',
  'lab-summary',
  'lab-cb',
  'lab-wic',
  'lab-rte',
  'lab-enfr',
];
const scores = [];
for (const model of labModelNames.filter((name) => existsSync(labModelFolder(name)))) {
  const loaded = await openModel(model, 'float32');
  for (const task of tasks) {
    for (const shots of [0, 1]) {
      const { metric, score, n } = await evaluateLoaded(loaded, await loadTask(task), { shots, beams: 1, limit: 100 });
      scores.push({ model, task, shots, metric, score, n });
      console.log(`${model} ${task} ${shots}-shot: ${metric} ${score.toFixed(1)}`);
    }
  }
}
writeFileSync(new URL('scores.json', import.meta.url), `${JSON.stringify(scores, null, 2)}\n`);

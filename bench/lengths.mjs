// Writes bench/lengths.json: how many tokens inputs and targets of real tasks have, and with how many of them all inputs
// begin, for the benchmarks on real lengths.
//
//   node bench/lengths.mjs --model SMOLLM2.gguf --data DATA
//
// The first 512 training examples of each task, in the order of the files.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { tokenizeExample } from '../packages/core/dist/models/index.js';
import { openModel } from '../packages/core/dist/open/index.js';
import { loadTask } from '../packages/core/dist/tasks/index.js';

const { values } = parseArgs({ options: { model: { type: 'string' }, data: { type: 'string' } } });
const loaded = await openModel(values.model, 'float32');
const lengths = {};
for (const name of ['rte', 'multi30k-en-fr', 'xsum']) {
  const task = await loadTask(name, { data: values.data });
  const examples = (await task.load('train')).slice(0, 512);
  const tokens = examples.map((example) => tokenizeExample(example, loaded.tokenizer, loaded.model.kind, 1024));
  const [{ input: first }] = tokens;
  const common = first.findIndex((id, place) => tokens.some(({ input }) => input[place] !== id));
  lengths[name] = { common, examples: tokens.map(({ input, target }) => [input.length, target.length]) };
}
writeFileSync(new URL('lengths.json', import.meta.url), `${JSON.stringify(lengths)}\n`);

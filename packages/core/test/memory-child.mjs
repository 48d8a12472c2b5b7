// How much memory the gradient of a model takes, a few layers deep: a process of its own, because memory that one pass
// leaves in the heap would hide what the next one needs. Arguments: the golden model, and whether graphs are made anew.
import { readFileSync, writeFileSync } from 'node:fs';
import { scope } from '@promot/torch';
import { buildModel, RandomWeights } from '../dist/models/index.js';
import { blockwise } from '../dist/training/index.js';

const [, , folder, anew] = process.argv;
const layers = 6;
const deeper = (part) => ({
  ...part,
  ...(part.num_hidden_layers !== undefined && { num_hidden_layers: layers }),
  ...(part.layer_types !== undefined && { layer_types: Array(layers).fill('full_attention') }),
  ...(part.num_layers !== undefined && { num_layers: layers, num_decoder_layers: layers }),
});
const config = deeper(JSON.parse(readFileSync(`${folder}/config.json`, 'utf8')));
for (const side of ['encoder', 'decoder']) {
  const part = config[side];
  if (part) config[side] = part.text_config ? { ...part, text_config: deeper(part.text_config) } : deeper(part);
}
const model = buildModel(config, new RandomWeights(1, 'float32'), folder);
const examples = Array.from({ length: 8 }, (_, b) => ({
  input: Array.from({ length: 150 }, (_, i) => 3 + ((7 * b + i) % 200)),
  target: Array.from({ length: 60 }, (_, i) => 3 + ((5 * b + i) % 200)),
}));
for (const parameter of model.parameters.values()) parameter.requiresGrad = true;
const run = (batch) =>
  scope(() => blockwise(model, undefined, { recompute: anew === 'true' }, () => model.logits(batch).square().mean()));
run(examples.slice(0, 1));
const kib = (key) => Number(readFileSync('/proc/self/status', 'utf8').match(new RegExp(`${key}:\\s+(\\d+)`))[1]);
writeFileSync('/proc/self/clear_refs', '5');
const before = kib('VmRSS');
run(examples);
process.stdout.write(`${JSON.stringify((kib('VmHWM') - before) * 1024)}\n`);

// How much memory one step of AdamW over two passes takes, weights included: for plan.test.ts. A process of its own, so that the most it
// ever had is that step's. Arguments: config.json's text, whether activations are checkpointed, examples, input and
// target tokens.
import { readFileSync, writeFileSync } from 'node:fs';
import { AdamW, scope, trimMemory } from '@promot/torch';
import { buildModel, RandomWeights } from '../dist/models/index.js';
import { blockwise } from '../dist/training/index.js';

const [, , config, checkpointing, ...sizes] = process.argv;
const [examples, inputs, targets] = sizes.map(Number);
const kib = (key) => Number(readFileSync('/proc/self/status', 'utf8').match(new RegExp(`${key}:\\s+(\\d+)`))[1]);
const layers = 'num_layers' in JSON.parse(config) ? { num_layers: 1 } : { num_hidden_layers: 1 };
const tiny = { ...JSON.parse(config), ...layers, vocab_size: 300 };
const batch = (count, input, target) =>
  Array.from({ length: count }, (_, b) => ({
    input: Array.from({ length: input }, (_, i) => 3 + ((7 * b + i) % 200)),
    target: Array.from({ length: target }, (_, i) => 3 + ((5 * b + i) % 200)),
  }));
// Two passes: in the second all gradients are there already.
const step = (model, optimizer, pass) => {
  for (let i = 0; i < 2; i++)
    scope(() =>
      blockwise(model, undefined, { recompute: checkpointing === 'true' }, () => model.logits(pass).square().mean()),
    );
  optimizer.step(1e-3);
};
const make = (of) => {
  const model = buildModel(of, new RandomWeights(1, 'float32'), 'config.json');
  for (const parameter of model.parameters.values()) parameter.requiresGrad = true;
  return { model, optimizer: new AdamW(model.parameters) };
};
// A small model first: libtorch's code and buffers are not what is planned.
const first = make(tiny);
step(first.model, first.optimizer, batch(1, 8, 4));
first.optimizer.dispose();
for (const parameter of first.model.parameters.values()) parameter.dispose();
trimMemory();
writeFileSync('/proc/self/clear_refs', '5');
const before = kib('VmRSS');
const { model, optimizer } = make(JSON.parse(config));
step(model, optimizer, batch(examples, inputs, targets));
const parameters = [...model.parameters.values()].reduce((sum, { numel }) => sum + numel, 0);
process.stdout.write(JSON.stringify({ parameters, peak: (kib('VmHWM') - before) * 1024 }));

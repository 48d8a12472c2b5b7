// How much memory one step of AdamW over two passes takes, weights included, with activations kept and checkpointed:
// for plan.test.ts. A process of its own, so that the most it ever had is that step's. Arguments: config.json's text,
// examples, input and target tokens.
import { readFileSync, writeFileSync } from 'node:fs';
import { AdamW, scope, trimMemory } from '@promot/torch';
import { buildModel, RandomWeights } from '../dist/models/index.js';
import { blockwise } from '../dist/training/index.js';

const [, , config, ...sizes] = process.argv;
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
const step = ({ model, optimizer }, pass, recompute) => {
  for (let i = 0; i < 2; i++)
    scope(() => blockwise(model, undefined, { recompute }, () => model.logits(pass).square().mean()));
  optimizer.step(1e-3);
};
const make = (of) => {
  const model = buildModel(of, new RandomWeights(1, 'float32'), 'config.json');
  for (const parameter of model.parameters.values()) parameter.requiresGrad = true;
  return { model, optimizer: new AdamW(model.parameters) };
};
const drop = ({ model, optimizer }) => {
  optimizer.dispose();
  for (const parameter of model.parameters.values()) parameter.dispose();
  trimMemory();
};
// A small model first: libtorch's code and buffers are not what is planned.
const first = make(tiny);
step(first, batch(1, 8, 4), false);
drop(first);
const before = kib('VmRSS');
let parameters;
const [kept, checkpointed] = [false, true].map((recompute) => {
  writeFileSync('/proc/self/clear_refs', '5');
  const made = make(JSON.parse(config));
  parameters = [...made.model.parameters.values()].reduce((sum, { numel }) => sum + numel, 0);
  step(made, batch(examples, inputs, targets), recompute);
  const peak = (kib('VmHWM') - before) * 1024;
  drop(made);
  return peak;
});
process.stdout.write(JSON.stringify({ parameters, kept, checkpointed }));

// The addon's kernels beside libtorch's own operators where there are any: milliseconds of processor time, forward and
// backward, medians of 15 interleaved rounds. Shapes are those of SmolLM2-135M in a pass of 508 tokens.
//
//   OMP_NUM_THREADS=1 node bench/kernels.mjs
import {
  dropout,
  gated,
  grad,
  keep,
  plainGated,
  plainRmsNorm,
  plainRotate,
  randn,
  rmsNorm,
  rotate,
  scope,
  tuneProcess,
} from '../packages/torch/dist/index.js';

tuneProcess();
const [tokens, width, inner, heads] = [508, 576, 1536, 9];
/** Makes inputs with a gradient, from the seeds 1, 2, ... */
const leaves = (...shapes) =>
  shapes.map((shape, i) => {
    const leaf = randn(shape, i + 1).detach();
    leaf.requiresGrad = true;
    return leaf;
  });
const [cos, sin] = [8, 9].map((seed) => keep(randn([1, 1, tokens, width / heads], seed)));
const gates = [
  [tokens, inner],
  [tokens, inner],
];
const kernels = [
  {
    name: 'silu gate',
    shapes: gates,
    kernel: (x, up) => gated(x, up, 'silu'),
    plain: (x, up) => plainGated(x, up, 'silu'),
  },
  {
    name: 'gelu gate',
    shapes: gates,
    kernel: (x, up) => gated(x, up, 'gelu-tanh'),
    plain: (x, up) => plainGated(x, up, 'gelu-tanh'),
  },
  {
    name: 'rotation',
    shapes: [[1, heads, tokens, width / heads]],
    kernel: (x) => rotate(x, cos, sin, 'halves'),
    plain: (x) => plainRotate(x, cos, sin, 'halves'),
  },
  {
    name: 'RMSNorm',
    shapes: [[tokens, width], [width]],
    kernel: (x, weight) => rmsNorm(x, weight, 1e-6),
    plain: (x, weight) => plainRmsNorm(x, weight, 1e-6),
  },
  { name: 'dropout', shapes: [[tokens, inner]], kernel: (x) => dropout(x, 0.1, 3) },
];

function milliseconds(work) {
  const before = process.cpuUsage();
  const result = work();
  const { user, system } = process.cpuUsage(before);
  return [(user + system) / 1000, result];
}
const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];

const times = new Map();
for (let round = 0; round < 15; round++)
  for (const { name, shapes, kernel, plain } of kernels)
    for (const [how, run] of Object.entries({ kernel, plain }))
      if (run)
        scope(() => {
          const inputs = leaves(...shapes);
          const [forward, y] = milliseconds(() => run(...inputs));
          const gradients = [randn(y.shape, 7)];
          const [backward] = milliseconds(() => grad([y], inputs, { gradients }));
          const all = times.get(`${name}, ${how}`) ?? { forward: [], backward: [] };
          all.forward.push(forward);
          all.backward.push(backward);
          times.set(`${name}, ${how}`, all);
        });
for (const [name, { forward, backward }] of times)
  console.log(`${name}: ${median(forward).toFixed(2)} forward, ${median(backward).toFixed(2)} backward`);

// The two gradients of a linear layer, GFLOP/s of one thread: libtorch's own products (MKL), and the kernel of a layer's
// backward pass (native/large-products.h on AVX2), in shapes of SmolLM2-135M and T5.1.1-small. Processor time, medians
// of five interleaved rounds, weights that no cache holds.
//
//   OMP_NUM_THREADS=1 node bench/gradient-products.mjs
import { grad, linear, noGrad, randn, scope, tuneProcess } from '../packages/torch/dist/index.js';

tuneProcess();
/** Rows x inputs x outputs. */
const shapes = [
  [50, 576, 1536],
  [508, 576, 576],
  [508, 576, 1536],
  [508, 1536, 576],
  [1824, 512, 384],
  [1824, 512, 1024],
  [1824, 1024, 512],
];

/** Processor seconds so far. */
function used() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

console.log('| rows x inputs x outputs | gradient of x: MKL, own | gradient of the weight: MKL, own |');
console.log('|---|---|---|');
for (const [rows, inputs, outputs] of shapes) {
  scope(() => {
    const x = randn([rows, inputs], 1);
    const gradient = randn([rows, outputs], 2);
    x.requiresGrad = true;
    const layers = Array.from({ length: Math.ceil(3e7 / inputs / outputs) }, (_, seed) => {
      const weight = randn([outputs, inputs], seed);
      weight.requiresGrad = true;
      return { weight, y: linear(x, weight) };
    });
    const ways = [
      ({ weight }) => noGrad(() => gradient.matmul(weight)),
      ({ y }) => grad([y], [x], { gradients: [gradient], retainGraph: true }),
      () => noGrad(() => gradient.transpose(0, 1).matmul(x)),
      ({ y, weight }) => grad([y], [weight], { gradients: [gradient], retainGraph: true }),
    ];
    const rate = (way) => {
      const before = used();
      for (const layer of layers)
        scope(() => {
          way(layer);
        });
      return (2 * rows * inputs * outputs * layers.length) / (used() - before) / 1e9;
    };
    const rounds = [1, 2, 3, 4, 5].map(() => ways.map(rate));
    const [a, b, c, d] = ways.map((_, k) => Math.round(median(rounds.map((round) => round[k]))));
    console.log(`| ${rows} x ${inputs} x ${outputs} | ${a}, ${b} | ${c}, ${d} |`);
  });
}

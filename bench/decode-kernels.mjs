// Products of linear layers of one thread, GFLOP/s: libtorch's own (MKL), oneDNN with a weight laid out for it, and the kernel
// that reads the weight as it lies in memory (native/linear.cc), in shapes of SmolLM2-135M. Processor time, medians of three interleaved rounds.
// Then milliseconds of attention of a new place: the kernel, and libtorch's operators.
//
//   OMP_NUM_THREADS=1 node bench/decode-kernels.mjs [ROWS,...]
import {
  attendFromOne,
  call,
  keep,
  noGrad,
  op,
  plainAttendFromOne,
  randn,
  scope,
  tuneProcess,
} from '../packages/torch/dist/index.js';

tuneProcess();
const rows = (process.argv[2] ?? '4,12,24,64,508').split(',').map(Number);
const shapes = [
  [576, 192],
  [576, 576],
  [576, 1536],
  [1536, 576],
];
const secondsAtLeast = 0.12;

/** Processor seconds so far. */
function used() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** GFLOP/s of products of `x` with each of the weights in turn. */
function rate(x, weights, product, operations) {
  const before = used();
  let count = 0;
  while (used() - before < secondsAtLeast) {
    scope(() => noGrad(() => weights.map((weight) => product(x, weight))));
    count += weights.length;
  }
  return (operations * count) / (used() - before) / 1e9;
}

const kinds = [
  (x, { weight }) => call('aten::linear', x, weight, null),
  (x, { packed }) => op('mkldnn::_linear_pointwise', x, packed, undefined, 'none', [], ''),
  (x, { weight }) => call('promot::linears', x, [weight], [null])[0],
];
console.log(`| inputs x outputs | ${rows.map((n) => `${n} rows: MKL, packed, own`).join(' | ')} |`);
console.log(`|---|${rows.map(() => '---|').join('')}`);
for (const [inputs, outputs] of shapes) {
  // More than a cache holds.
  const weights = Array.from({ length: Math.ceil(3e7 / inputs / outputs) }, (_, seed) => {
    const weight = keep(randn([outputs, inputs], seed));
    return { weight, packed: keep(op('mkldnn::_reorder_linear_weight', weight, 64)) };
  });
  const cells = rows.map((n) => {
    const x = keep(randn([n, inputs], 1));
    const rounds = [1, 2, 3].map(() => kinds.map((product) => rate(x, weights, product, 2 * n * inputs * outputs)));
    return kinds.map((_, k) => Math.round(rounds.map((round) => round[k]).sort((a, b) => a - b)[1])).join(', ');
  });
  console.log(`| ${inputs} x ${outputs} | ${cells.join(' | ')} |`);
  for (const { weight, packed } of weights) for (const tensor of [weight, packed]) tensor.dispose();
}

// Six inputs with four beams: places of a prefix, of the inputs, and of the tokens generated so far.
const [beams, heads, groups, width] = [24, 9, 3, 64];
const places = [
  [1, 21],
  [6, 14],
  [24, 30],
];
const query = keep(randn([beams, heads, 1, width], 1));
const made = (n, length, seed) => keep(randn([n, groups, length, width], seed));
/** @type {import('../packages/torch/dist/index.js').KeyPart[]} */
const parts = places.map(([n, length]) => [made(n, length, 2), made(n, length, 3)]);
const bias = keep(randn([beams, 1, 1, places.reduce((sum, [, length]) => sum + length, 0)], 4));
const rounds = [1, 2, 3].map(() =>
  [attendFromOne, plainAttendFromOne].map(
    (attend) => 1e-6 / rate(query, [bias], (x, own) => attend(x, parts, own, { scale: 0.125 }), 1),
  ),
);
const [own, plain] = [0, 1].map((k) =>
  rounds
    .map((round) => round[k])
    .sort((a, b) => a - b)[1]
    .toFixed(2),
);
console.log(`attention of a new place: ${own} ms, by libtorch's operators ${plain}`);

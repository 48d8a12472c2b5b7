// Attention in bf16 as promot computes it on a CPU beside libtorch's fused kernel, one thread, forward and backward:
//
//     OMP_NUM_THREADS=1 node bench/attention.mjs
//
// Processor time, so that other work on the machine disturbs little. Needs `npm run setup`.
import { grad, op, randn, scaledDotProductAttention, scope } from '../packages/torch/dist/index.js';

const shapes = [
  // Batch, heads, query places, key places, head width.
  [32, 8, 12, 30, 24],
  [32, 8, 60, 60, 24],
  [8, 9, 128, 128, 64],
  [4, 9, 300, 300, 64],
  [4, 9, 500, 500, 64],
];

const fused = (q, k, v) => op('aten::scaled_dot_product_attention', q, k, v, null, 0, false, null, false);

function milliseconds(attend, [b, h, t, s, d], withGradient) {
  return scope(() => {
    const inputs = [t, s, s].map((places, i) => randn([b, h, places, d], i).to('bfloat16'));
    for (const input of inputs) input.requiresGrad = withGradient;
    const once = () =>
      scope(() => {
        const out = attend(...inputs);
        if (withGradient) grad([out.sum()], inputs);
      });
    once();
    const spent = () => process.cpuUsage().user + process.cpuUsage().system;
    const started = spent();
    let times = 0;
    for (; times < 5 || spent() - started < 1e6; times++) once();
    return (spent() - started) / times / 1000;
  });
}

console.log('| batch x heads, places, width | fused, forward | promot | fused, forward and backward | promot |');
console.log('|---|---|---|---|---|');
for (const [b, h, t, s, d] of shapes) {
  const cells = [false, true].flatMap((gradient) =>
    [fused, scaledDotProductAttention].map(
      (attend) => `${milliseconds(attend, [b, h, t, s, d], gradient).toFixed(1)} ms`,
    ),
  );
  console.log(`| ${b} x ${h}, ${t} x ${s}, ${d} | ${cells.join(' | ')} |`);
}

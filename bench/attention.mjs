// Attention as promot computes it on a CPU beside libtorch's fused kernel, one thread, forward and backward: in bf16, and
// in fp32 of a decoder's sequences behind a prefix, where the processor has promot's kernel (packed-attention.cc). Then
// T5's attention in training, with a bias and dropout, beside libtorch's operators (biased-attention.cc):
//
//     OMP_NUM_THREADS=1 node bench/attention.mjs
//
// Processor time, so that other work on the machine disturbs little. Needs `npm run setup`.
import {
  dropout,
  grad,
  hasPackedAttention,
  ones,
  op,
  packedAttention,
  packedPlaces,
  randn,
  scaledDotProductAttention,
  scope,
  tril,
} from '../packages/torch/dist/index.js';

const shapes = [
  // Batch, heads, query places, key places, head width.
  [32, 8, 12, 30, 24],
  [32, 8, 60, 60, 24],
  [8, 9, 128, 128, 64],
  [4, 9, 300, 300, 64],
  [4, 9, 500, 500, 64],
];

const fused = (q, k, v) => op('aten::scaled_dot_product_attention', q, k, v, null, 0, false, null, false);

function milliseconds(attend, inputs, withGradient) {
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
}

console.log('| batch x heads, places, width | fused, forward | promot | fused, forward and backward | promot |');
console.log('|---|---|---|---|---|');
for (const [b, h, t, s, d] of shapes)
  scope(() => {
    const inputs = [t, s, s].map((places, i) => randn([b, h, places, d], i).to('bfloat16'));
    const cells = [false, true].flatMap((gradient) =>
      [fused, scaledDotProductAttention].map((attend) => `${milliseconds(attend, inputs, gradient).toFixed(1)} ms`),
    );
    console.log(`| ${b} x ${h}, ${t} x ${s}, ${d} | ${cells.join(' | ')} |`);
  });

const sequences = [
  // Sequences, heads, heads of keys, places, places of a prefix, head width.
  [4, 9, 3, 45, 50, 64],
  [4, 9, 3, 127, 50, 64],
  [4, 9, 3, 300, 50, 64],
  [4, 4, 1, 127, 50, 256],
  [1, 9, 3, 1000, 0, 64],
];
const hasKernel = scope(() => hasPackedAttention(ones([1]), 64));
if (hasKernel) {
  console.log('\n| sequences x heads (of keys), places behind a prefix, width | fused, both ways | promot | |');
  console.log('|---|---|---|---|');
}
for (const [b, h, g, places, before, d] of hasKernel ? sequences : [])
  scope(() => {
    const all = before + places;
    // The fused kernel with a mask, over groups of heads, as promot uses it where it has no kernel of its own.
    const hidden = tril(ones([all, all], 'bool'))
      .logicalNot()
      .narrow(0, before, places);
    const mask = hidden.float().mul(-1e9).view(1, 1, places, all);
    const grouped = (q, k, v) => {
      const [keys, values] = [k, v].map((x) => x.expand(b * g, h / g, all, d));
      return op('aten::scaled_dot_product_attention', q, keys, values, mask, 0, false, null, false);
    };
    const rows = [randn([b * g, h / g, places, d], 1), randn([b * g, 1, all, d], 2), randn([b * g, 1, all, d], 3)];
    const at = packedPlaces(Array(b).fill(places), before);
    const packed = (q, k, v) => packedAttention(q, k, v, at);
    const tokens = [randn([b * places, h, d], 1), randn([b * all, g, d], 2), randn([b * all, g, d], 3)];
    const [theirs, ours] = [milliseconds(grouped, rows, true), milliseconds(packed, tokens, true)];
    const cells = [`${theirs.toFixed(1)} ms`, `${ours.toFixed(1)} ms`, (ours / theirs).toFixed(2)];
    console.log(`| ${b} x ${h} (${g}), ${places} behind ${before}, ${d} | ${cells.join(' | ')} |`);
  });

const biased = [
  // Batch, heads, query places, key places, head width.
  [4, 6, 228, 228, 64],
  [4, 6, 8, 228, 64],
  [4, 12, 500, 500, 64],
];
if (hasKernel) {
  console.log('\n| batch x heads, places, width, a bias and dropout | operators, both ways | promot | |');
  console.log('|---|---|---|---|');
}
for (const [b, h, t, s, d] of hasKernel ? biased : [])
  scope(() => {
    const mask = randn([b, h, t, s], 4);
    const drops = { rate: 0.1, seed: 1 };
    // As T5's linear layers give them: all heads of a place side by side.
    const heads = (x) => x.transpose(1, 2);
    const operators = (q, k, v) => {
      const [query, key, value] = [q, k, v].map((x) => heads(x).reshape(b * h, x.size(1), d));
      const scores = op('aten::baddbmm', mask.view(b * h, t, s), query, key.transpose(1, 2), 1, 1);
      const mixed = dropout(scores.softmax(-1), drops.rate, drops.seed).bmm(value);
      return heads(mixed.view(b, h, t, d)).reshape(b, t, h * d);
    };
    const kernel = (q, k, v) =>
      heads(scaledDotProductAttention(heads(q), heads(k), heads(v), { mask, scale: 1, dropout: drops })).reshape(
        b,
        t,
        h * d,
      );
    const inputs = [t, s, s].map((places, i) => randn([b, places, h, d], i));
    const [theirs, ours] = [milliseconds(operators, inputs, true), milliseconds(kernel, inputs, true)];
    const cells = [`${theirs.toFixed(1)} ms`, `${ours.toFixed(1)} ms`, (ours / theirs).toFixed(2)];
    console.log(`| ${b} x ${h}, ${t} x ${s}, ${d} | ${cells.join(' | ')} |`);
  });

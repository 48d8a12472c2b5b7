// promot's side of the benchmarks: the same work as peer.py, with the same options. One JSON line on standard output.
//
//   node bench/promot.mjs train-step --model t5-v1.1-small --stage 1 --steps 5
//   node bench/promot.mjs train-step --model smollm2-135m --stage 2 --lengths rte --batch 64   # real lengths (bench/lengths.json)
//   node bench/promot.mjs train-step --model smollm2-135m --stage bare --common 20   # all inputs begin with 20 equal tokens
//   node bench/promot.mjs train-step --model llama-8b --stage lora --device cuda    # LoRA of rank 16, AdamW
//   node bench/promot.mjs optimizer --model smollm2-135m --optimizer adamw    # a step of the optimizer alone
//   node bench/promot.mjs generate --model t5-v1.1-small --beams 4 --new-tokens 32
//   node bench/promot.mjs train-step --model smollm2-135m --stage 2 --profile    # processor time by operator, on standard error
//   node bench/promot.mjs generate --model t5-v1.1-small --profile --clock    # time of the clock in place of it
//
// Models have their real sizes and random weights. Needs `npm run setup` once. Times are seconds: the median of
// `--steps` after one warm-up step; with `--lengths` their mean, because steps differ.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { generate } from '../packages/core/dist/generation/index.js';
import { attachLora } from '../packages/core/dist/inner.js';
import { buildModel, chooseDevice, RandomWeights } from '../packages/core/dist/models/index.js';
import { crossEntropy, defaultConfig, toMicroBatches, trainLoop } from '../packages/core/dist/training/index.js';
import {
  Adafactor,
  AdamW,
  formatProfile,
  keep,
  libtorch,
  noGrad,
  randn,
  scope,
  startProfile,
  threads,
  tuneProcess,
  withDevice,
} from '../packages/torch/dist/index.js';
import { cpuFeatures } from '../packages/torch/dist/setup/index.js';

/** A shape of Llama 3 with so many layers; its eight groups of keys share four times as many heads. */
const llama3 = (hidden, inner, layers, tied) => ({
  batch: 8,
  source: 2040,
  prompt: 50,
  dropout: 0,
  config: {
    model_type: 'llama',
    vocab_size: 128256,
    hidden_size: hidden,
    intermediate_size: inner,
    num_hidden_layers: layers,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    tie_word_embeddings: tied,
    rope_theta: 500000,
    eos_token_id: 2,
  },
});
const models = {
  // For a GPU.
  'llama-1b': llama3(2048, 8192, 16, true),
  'llama-8b': llama3(4096, 14336, 32, false),
  't5-v1.1-large': {
    batch: 16,
    source: 512,
    prompt: 100,
    dropout: 0.1,
    config: {
      model_type: 't5',
      vocab_size: 32128,
      d_model: 1024,
      d_kv: 64,
      d_ff: 2816,
      num_layers: 24,
      num_heads: 16,
      feed_forward_proj: 'gated-gelu',
      tie_word_embeddings: false,
    },
  },
  't5-v1.1-small': {
    batch: 16,
    source: 128,
    prompt: 100,
    dropout: 0.1,
    config: {
      model_type: 't5',
      vocab_size: 32128,
      d_model: 512,
      d_kv: 64,
      d_ff: 1024,
      num_layers: 8,
      num_heads: 6,
      feed_forward_proj: 'gated-gelu',
      tie_word_embeddings: false,
    },
  },
  'smollm2-135m': {
    batch: 8,
    source: 120,
    prompt: 50,
    // The peer's Llama has no dropout.
    dropout: 0,
    config: {
      model_type: 'llama',
      vocab_size: 49152,
      hidden_size: 576,
      intermediate_size: 1536,
      num_hidden_layers: 30,
      num_attention_heads: 9,
      num_key_value_heads: 3,
      tie_word_embeddings: true,
      rope_theta: 100000,
      eos_token_id: 2,
    },
  },
  // A small model with a large vocabulary: 168 of its 268 million numbers are the table.
  'gemma-3-270m': {
    batch: 4,
    source: 64,
    prompt: 20,
    dropout: 0,
    config: {
      model_type: 'gemma3_text',
      vocab_size: 262144,
      hidden_size: 640,
      intermediate_size: 2048,
      num_hidden_layers: 18,
      num_attention_heads: 4,
      num_key_value_heads: 1,
      head_dim: 256,
      query_pre_attn_scalar: 256,
      sliding_window: 512,
      max_position_embeddings: 32768,
      rope_theta: 1000000,
      rope_local_base_freq: 10000,
      tie_word_embeddings: true,
      eos_token_id: 1,
    },
  },
};

tuneProcess();
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', default: 't5-v1.1-small' },
    stage: { type: 'string', default: '2' },
    batch: { type: 'string' },
    source: { type: 'string' },
    target: { type: 'string', default: '8' },
    lengths: { type: 'string' },
    common: { type: 'string' },
    'pass-size': { type: 'string' },
    prompt: { type: 'string' },
    precision: { type: 'string' },
    steps: { type: 'string', default: '5' },
    beams: { type: 'string', default: '4' },
    'new-tokens': { type: 'string', default: '32' },
    optimizer: { type: 'string', default: 'adafactor' },
    profile: { type: 'boolean', default: false },
    clock: { type: 'boolean', default: false },
    device: { type: 'string', default: 'cpu' },
  },
});
const shape = models[values.model];
const { avx512Bf16, amxBf16, armBf16 } = await cpuFeatures();
const device = chooseDevice(values.device === 'cuda' ? 'cuda' : 'cpu');
const precision = values.precision ?? (device === 'cuda' || avx512Bf16 || amxBf16 || armBf16 ? 'bf16' : 'fp32');
const batch = Number(values.batch ?? shape.batch);
const source = Number(values.source ?? shape.source);
const steps = Number(values.steps);
const dtype = precision === 'bf16' ? 'bfloat16' : 'float32';
const model = withDevice(device, () => buildModel(shape.config, new RandomWeights(0, dtype), 'benchmark'));
const ids = (length, row) => Array.from({ length }, (_, i) => 3 + ((i * 7919 + row * 104729) % 30000));
/** Tokens that all inputs of a real task begin with. */
let common = 0;
/** Examples of the step that warms up, where lengths are real. */
const warmUp = 8;
const seconds = [];
const cpuSeconds = [];
let before = process.cpuUsage();
/** Processor seconds of all threads since the last call. */
const lap = () => {
  const { user, system } = process.cpuUsage(before);
  before = process.cpuUsage();
  return (user + system) / 1e6;
};
const note = (took) => {
  seconds.push(took);
  cpuSeconds.push(lap());
};
let stopProfile;
/** What else a measurement says. */
let work = () => ({});
const warm = () => {
  if (values.profile) stopProfile ??= startProfile({ shapes: true, processor: !values.clock });
};

/** Waits until a GPU has done all its work. */
const finished = (tensor) => scope(() => noGrad(() => tensor.reshape(-1).narrow(0, 0, 1).toNumbers()));

await withDevice(device, measure);

async function measure() {
  if (positionals[0] === 'train-step') {
    const target = Number(values.target);
    const promptStage = values.stage === '1';
    const rows = ['bare', 'lora'].includes(values.stage) ? 0 : Number(values.prompt ?? shape.prompt);
    const prompt = rows ? keep(randn([rows, model.shape.width], 1)) : undefined;
    const lora = values.stage === 'lora' ? attachLora(model, 16, 0) : undefined;
    const trained = promptStage ? new Map([['prompt', prompt]]) : (lora ?? model).parameters;
    const lengths = values.lengths && readLengths(values.lengths);
    common = Number(values.common ?? lengths?.common ?? 0);
    // The first step warms up; where lengths are real, with eight examples. Those after them are what the peer sorts.
    const sizes = (step) => {
      if (!lengths) return Array.from({ length: batch }, () => [source, target]);
      const from = warmUp + (step - 2) * batch;
      const { examples } = lengths;
      return step === 1 ? examples.slice(0, warmUp) : examples.slice(from, from + batch);
    };
    const examplesOf = (step) =>
      sizes(step).map(([inputs, targets], row) => ({
        input: [...ids(common, 0), ...ids(inputs - common, row)],
        target: ids(targets, row + batch),
      }));
    let tokens = 0;
    work = () => ({
      tokensPerSecond: round(tokens / sum(seconds)),
      ...(device === 'cpu'
        ? // Of what the processor reaches in a large product, the share that went into the linear layers' products.
          { productShare: round(products / sum(cpuSeconds) / productRate()) }
        : { teraflops: round(products / sum(seconds) / 1e12) }),
    });
    let products = 0;
    let last = performance.now();
    await trainLoop({
      model,
      trained,
      optimizer: lora
        ? new AdamW(trained)
        : new Adafactor(trained, promptStage ? { factored: false, scaleByParameter: false } : {}),
      batch: (step) =>
        toMicroBatches(
          examplesOf(step),
          Number(values['pass-size'] ?? defaultConfig(model.kind, false).microBatchSize),
          prompt,
        ),
      learningRate: () => (promptStage ? 0.3 : 0.001),
      steps: steps + 1,
      loss: (pass) => crossEntropy.loss(pass, { labelSmoothing: 0.1, zLoss: 0 }),
      dropout: shape.dropout,
      seed: 0,
      gradientClip: 0,
      afterStep: async ({ step, seconds: took }) => {
        const [first] = trained.values();
        if (device !== 'cpu') finished(first);
        const now = performance.now();
        if (step > 1) {
          note(device === 'cpu' ? took : (now - last) / 1000);
          tokens += examplesOf(step).reduce((n, e) => n + e.input.length + e.target.length, 0);
          products += productsOf(examplesOf(step), rows, promptStage || lora !== undefined);
        }
        last = performance.now();
        lap();
        warm();
        return true;
      },
    });
  } else if (positionals[0] === 'generate') {
    const newTokens = Number(values['new-tokens']);
    const inputs = Array.from({ length: batch }, (_, row) => ids(source, row));
    for (let step = 0; step <= steps; step++) {
      const started = performance.now();
      await generate(model, inputs, { beams: Number(values.beams), minNewTokens: newTokens, maxNewTokens: newTokens });
      if (step > 0) note((performance.now() - started) / 1000);
      lap();
      warm();
    }
  } else if (positionals[0] === 'optimizer') {
    const trained = model.parameters;
    for (const tensor of trained.values()) tensor.requiresGrad = true;
    const Kind = values.optimizer === 'adamw' ? AdamW : Adafactor;
    const optimizer = new Kind(trained, {});
    const gradients = [...trained.values()].map((tensor, i) => keep(scope(() => randn(tensor.shape, i + 1))));
    for (let step = 0; step <= steps; step++) {
      // A step forgets the gradients that it has used.
      for (const [i, tensor] of [...trained.values()].entries()) tensor.backward(gradients[i]);
      lap();
      const started = performance.now();
      optimizer.step(1e-3, 1);
      if (step > 0) note((performance.now() - started) / 1000);
    }
  } else throw new Error('name what to measure: train-step, generate or optimizer');
}

if (stopProfile) console.error(formatProfile(stopProfile(), 40));
function sum(numbers) {
  return numbers.reduce((a, b) => a + b, 0);
}

function round(x) {
  return Number(x.toPrecision(3));
}

/** Operations of the linear layers' products in a step (attention's own are left out): forward, gradients of x and, where trained, of the weights. */
function productsOf(examples, promptRows, weightsStay) {
  const targets = sum(examples.map(({ target }) => target.length));
  const inputs = sum(examples.map(({ input }) => input.length));
  const rowsAt = (place) => {
    const { stack, layer, attention, parts } = place;
    const { role } = parts[0];
    const isKeyOrValue = role === 'key' || role === 'value';
    // A decoder-only model reads the prompt and the common tokens once a step, an encoder once an example. Behind its
    // attention, a decoder's last layer computes only what is predicted from.
    if (model.kind === 'decoder-only') {
      const isLast = layer === model.shape.layers.decoder - 1;
      return isLast && !isKeyOrValue && role !== 'query'
        ? targets
        : inputs + targets - examples.length * (1 + common) + common + promptRows;
    }
    // Keys and values of cross-attention are products of the encoder's states.
    const ofEncoder = stack === 'encoder' || (attention === 'cross' && isKeyOrValue);
    return ofEncoder ? inputs + examples.length * promptRows : targets;
  };
  const layers = sum([...model.linears].map(([name, { weight }]) => weight.numel * rowsAt(model.places.get(name))));
  return 2 * (weightsStay ? 2 : 3) * (layers + model.head.weight.numel * targets);
}

/** Operations a second of all threads in a product of 1024 x 1024 x 1024: the best of ten. */
function productRate() {
  const side = 1024;
  return scope(() => {
    const x = randn([side, side], 1).to(dtype);
    const took = Array.from({ length: 10 }, () => {
      lap();
      scope(() => x.matmul(x));
      return lap();
    });
    return (2 * side ** 3) / Math.min(...took);
  });
}

/** Tokens of inputs and targets of a real task, and with how many all inputs begin. */
function readLengths(task) {
  const all = JSON.parse(readFileSync(new URL('lengths.json', import.meta.url), 'utf8'));
  if (!all[task] || all[task].examples.length < warmUp + steps * batch)
    throw new Error(`lengths.json has not enough examples of ${task}`);
  return all[task];
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
console.log(
  JSON.stringify({
    medianSeconds: values.lengths ? seconds.reduce((a, b) => a + b) / seconds.length : median(seconds),
    seconds,
    cpuSeconds,
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    ...work(),
    threads: threads(),
    precision,
    versions: { node: process.version, libtorch: libtorch().version },
  }),
);

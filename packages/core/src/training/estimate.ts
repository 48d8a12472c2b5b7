// What a stage of training takes, roughly: memory from sizes and lengths, time from operations and the speed of
// products. Shapes: B examples of a pass, S source length with the prompt, T target length, E width, F inner width, H
// heads, V rows.
import { noGrad, packsWeights, scope, type Tensor, uniform } from '@promot/torch';
import type { Stage, TrainingConfig } from '../methods/index.js';
import type { LanguageModel } from '../models/model.js';
import { mostPacked } from './loop.js';

/** Of numbers of tokens. */
export interface LengthStatistics {
  readonly mean: number;
  readonly median: number;
  readonly p95: number;
  readonly longest: number;
}

/** Rough estimates in bytes. */
interface MemoryEstimate {
  readonly weights: number;
  readonly gradients: number;
  readonly optimizer: number;
  readonly activations: number;
  /** Memory that lies unused between tensors of changing sizes. */
  readonly holes: number;
  /** The program and libtorch included. */
  readonly total: number;
}

export interface StageEstimate {
  readonly stage: string;
  /** In a run of several tasks, the one whose prompt is trained. */
  readonly task?: string;
  readonly steps: number;
  readonly trainedParameters: number;
  readonly memory: MemoryEstimate;
  /** Seconds of training, evaluations not counted. */
  readonly seconds: number;
}

const measureSeconds = 0.3;
/**
 * Share of the measured speed that a training step reaches: small products, attention, dropout and the optimizer are
 * slower.
 */
const efficiency = 0.4;
/** Node.js, libtorch's code and buffers. */
const programBytes = 220e6;
/**
 * Of all tensors' memory. Measured on RTE, batch 16: T5-small 1.0, SmolLM2-135M 0.6 (its prompt trained) and 0.7
 * (itself).
 */
const holesShare = 0.6;

/** Floating-point operations a second of a matrix product, measured for a moment. */
export function measureProducts(precision: TrainingConfig['precision']): number {
  const size = 512;
  return noGrad(() =>
    scope(() => {
      const dtype = precision === 'bf16' ? 'bfloat16' : 'float32';
      const a = uniform([size, size], -1, 1, 1).to(dtype);
      const b = uniform([size, size], -1, 1, 2).to(dtype);
      const wait = (product: Tensor) => product.select(0, 0).select(0, 0).item();
      wait(a.matmul(b));
      const started = performance.now();
      let products = 0;
      do {
        a.matmul(b).dispose();
        products++;
      } while (performance.now() - started < 1000 * measureSeconds);
      // A GPU has not done yet all that it was given.
      wait(a.matmul(b));
      products++;
      return (products * 2 * size ** 3) / ((performance.now() - started) / 1000);
    }),
  );
}

/** What the estimates need to know of a model. */
interface Sizes {
  /** Parameters of all, of the matrices that source tokens and target tokens pass, and of the output layer. */
  readonly all: number;
  readonly source: number;
  readonly target: number;
  readonly head: number;
  /** Inputs and outputs of all linear layers. */
  readonly linearSides: number;
  readonly width: number;
  readonly inner: number;
  readonly heads: number;
  readonly sourceLayers: number;
  readonly targetLayers: number;
  readonly rows: number;
}

export function sizesOf(model: LanguageModel): Sizes {
  const { width, inner, heads, layers, vocabularySize: rows } = model.shape;
  const count = (stack: 'encoder' | 'decoder') =>
    [...model.linears].reduce(
      (n, [name, { weight }]) => n + (model.places.get(name)!.stack === stack ? weight.numel : 0),
      0,
    );
  const seq2seq = model.kind === 'encoder-decoder';
  return {
    all: [...model.parameters.values()].reduce((n, { numel }) => n + numel, 0),
    source: count(seq2seq ? 'encoder' : 'decoder'),
    target: seq2seq ? count('decoder') : 0,
    head: rows * width,
    linearSides: [...model.linears.values()].reduce((n, { weight }) => n + weight.size(0) + weight.size(1), 0),
    width,
    inner,
    heads,
    sourceLayers: seq2seq ? layers.encoder : layers.decoder,
    targetLayers: seq2seq ? layers.decoder : 0,
    rows,
  };
}

interface EstimateInput {
  readonly config: TrainingConfig;
  /** Examples of a pass. */
  readonly passSize: number;
  readonly promptRows: number;
  /** Soft prompts that a stage trains, where it trains some. */
  readonly prompts: number;
  readonly loraParameters: number;
  readonly inputLengths: LengthStatistics;
  readonly targetLengths: LengthStatistics;
  readonly sizes: Sizes;
  readonly operationsPerSecond: number;
  readonly kind: LanguageModel['kind'];
  /** Whether a layer's graph is made anew in the backward pass. */
  readonly checkpointing: boolean;
}

export function estimateStage({ name, settings: stage, trains }: Stage, input: EstimateInput): StageEstimate {
  const { config, promptRows, prompts, loraParameters, inputLengths, targetLengths, sizes } = input;
  const { operationsPerSecond, kind, checkpointing } = input;
  const settings = config.stages[stage]!;
  const seq2seq = kind === 'encoder-decoder';
  const { loraRank } = settings;
  // Otherwise the weights stay, and what trains is kept in float32.
  const trainsModel = trains.includes('model') && loraRank === 0;
  const trainedParameters =
    (trainsModel ? sizes.all : 0) +
    (trains.includes('model') ? loraRank * sizes.linearSides : 0) +
    (trains.includes('prompt') ? prompts * promptRows * sizes.width : 0) +
    (trains.includes('lora') ? loraParameters : 0);

  // A matrix of N parameters costs 2N operations a token forward, 2N for the gradient of its input, 2N for its own.
  const passes = (trainsModel ? 6 : 4) + (checkpointing ? 2 : 0);
  const source = promptRows + inputLengths.mean + (seq2seq ? 0 : targetLengths.mean);
  const attention = 2 * sizes.sourceLayers * source * sizes.width;
  const perExample = source * (sizes.source + attention) + targetLengths.mean * (sizes.target + sizes.head);
  const seconds = (settings.steps * config.batchSize * passes * perExample) / (operationsPerSecond * efficiency);

  const bytes = config.precision === 'bf16' ? 2 : 4;
  // Frozen layers may be laid out twice for the processor's products, and are then not held as they are.
  const linear = (sizes.source + sizes.target) * bytes;
  const isPacked = !trainsModel && linear <= mostPacked && packsWeights(bytes === 2 ? 'bfloat16' : 'float32');
  const packed = isPacked ? linear : 0;
  const weights = sizes.all * bytes + packed + promptRows * sizes.width * 4;
  const gradients = trainedParameters * (trainsModel ? bytes : 4);
  const moments = { adamw: 2, sgd: 0, adafactor: trainsModel ? 0.01 : 1 }[settings.optimizer];
  const masterCopy = trainsModel && bytes === 2 ? 1 : 0;
  const optimizer = trainedParameters * 4 * (moments + masterCopy);
  // What autograd keeps of a layer for a token: about ten vectors of the width, three of the inner width, and its row
  // of attention weights for each head. The longest example is met sooner or later, and its pass is padded to it.
  const longSource = promptRows + inputLengths.longest + (seq2seq ? 0 : targetLengths.longest);
  const layer = (length: number) => length * (10 * sizes.width + 3 * sizes.inner + sizes.heads * length) * bytes;
  // Logits and their gradient.
  const logits = targetLengths.longest * sizes.rows * 2 * bytes;
  const stacks = [
    { count: sizes.sourceLayers, length: longSource },
    { count: sizes.targetLayers, length: targetLengths.longest },
  ];
  // With checkpointing the input of each layer is kept, and all of one layer.
  const kept = checkpointing
    ? stacks.reduce((sum, { count, length }) => sum + count * length * sizes.width * bytes, 0) +
      Math.max(...stacks.map(({ count, length }) => (count > 0 ? layer(length) : 0)))
    : stacks.reduce((sum, { count, length }) => sum + count * layer(length), 0);
  const activations = Math.min(input.passSize, config.batchSize) * (kept + logits);
  const tensors = weights + gradients + optimizer + activations;
  return {
    stage: name,
    steps: settings.steps,
    trainedParameters,
    memory: {
      weights,
      gradients,
      optimizer,
      activations,
      holes: holesShare * tensors,
      total: programBytes + (1 + holesShare) * tensors,
    },
    seconds,
  };
}

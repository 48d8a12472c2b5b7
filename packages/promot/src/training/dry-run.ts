// What a training run would do, without training: examples as the model sees them, lengths, sizes, memory, time.
// Shapes: B examples of a pass, S source length with the prompt, T target length, E width, F inner width, H heads, V rows.
import { noGrad, scope, uniform } from '@promot/torch';
import { joinExemplars, trainingExemplar } from '../data/few-shot.js';
import { UserError } from '../errors.js';
import { findMethod, type Stage } from '../methods/index.js';
import type { LanguageModel } from '../models/model.js';
import { tokenizeExample, tokenizeInput } from '../models/tokenize.js';
import type { Example } from '../tasks/task.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { attachLora } from '../tuning/lora.js';
import { initPrompt } from '../tuning/soft-prompt.js';
import type { StageConfig, TrainingConfig } from './config.js';
import { resolveRun, type TrainRequest } from './train.js';

export interface ShownToken {
  readonly id: number;
  readonly text: string;
}

export interface ShownExample {
  readonly input: string;
  readonly target: string;
  /** Rows of the soft prompt in front of the input. */
  readonly promptRows: number;
  readonly inputTokens: readonly ShownToken[];
  readonly targetTokens: readonly ShownToken[];
  /** Tokens of the input that `maxInputLength` takes away. */
  readonly cutTokens: number;
}

/** Of numbers of tokens. */
export interface LengthStatistics {
  readonly mean: number;
  readonly median: number;
  readonly p95: number;
  readonly longest: number;
}

/** Rough estimates in bytes. */
export interface MemoryEstimate {
  readonly weights: number;
  readonly gradients: number;
  readonly optimizer: number;
  readonly activations: number;
  /** The program and libtorch included. */
  readonly total: number;
}

export interface StageEstimate {
  readonly stage: string;
  readonly steps: number;
  readonly trainedParameters: number;
  readonly memory: MemoryEstimate;
  /** Seconds of training, evaluations not counted. */
  readonly seconds: number;
}

export interface DryRun {
  readonly kind: LanguageModel['kind'];
  readonly parameters: number;
  readonly config: TrainingConfig;
  readonly trainExamples: number;
  readonly validationExamples: number;
  readonly examples: readonly ShownExample[];
  readonly inputLengths: LengthStatistics;
  readonly targetLengths: LengthStatistics;
  /** Training inputs that `maxInputLength` cuts. */
  readonly cutInputs: number;
  /** Measured speed of matrix products in the run's precision, floating-point operations a second. */
  readonly operationsPerSecond: number;
  readonly stages: readonly StageEstimate[];
}

const shownExamples = 3;
/** Lengths are measured on at most so many training examples, evenly taken. */
const measuredExamples = 2000;
const measureSeconds = 0.3;
/** Share of the measured speed that a training step reaches: small products, attention, dropout and the optimizer are slower. */
const efficiency = 0.4;
/** Node.js, libtorch's code and buffers. */
const programBytes = 220e6;

/**
 * Looks at a run without training it; writes nothing.
 * Errors: those that `train` has for a model, task, data, method or setting at fault.
 *
 * @example const { stages } = await dryRun({ model: 'lab', task: 'lab-rte', method: 'promot', out: 'runs/rte' });
 */
export async function dryRun(request: TrainRequest): Promise<DryRun> {
  const method = findMethod(request.method);
  const { loaded, config, task } = await resolveRun(request);
  const { model, tokenizer } = loaded;
  try {
    const training = await task.load('train');
    const validation = await task.load('validation');
    if (training.length === 0 || validation.length === 0)
      throw new UserError(`task ${task.name}: the training and the validation split must not be empty`);
    const promptRows = method.adapter === 'prompt' ? config.promptLength : 0;
    // Made and thrown away: a prompt that cannot be made is better known now.
    if (method.adapter === 'prompt')
      initPrompt(config.promptInit, promptRows, { ...loaded, labels: task.labels, seed: config.seed }).dispose();

    const lora = method.adapter === 'lora' ? attachLora(model, config.loraRank, config.seed) : undefined;
    const loraParameters = [...(lora?.parameters.values() ?? [])].reduce((n, { numel }) => n + numel, 0);
    lora?.detach();

    const every = Math.max(1, Math.ceil(training.length / measuredExamples));
    // As the first epoch sees them.
    const seen = (example: Example, index: number): Example =>
      config.shots === 0
        ? example
        : {
            ...example,
            input: joinExemplars([trainingExemplar(training, index, config.seed, 0)], example.input),
          };
    const measured = training.map((e, i) => [e, i] as const).filter(([, i]) => i % every === 0);
    const whole = measured.map(([e, i]) => tokenizeExample(seen(e, i), tokenizer, model.kind));
    const { maxInputLength } = config;
    const inputs = whole.map(({ input }) => (maxInputLength ? Math.min(input.length, maxInputLength) : input.length));
    const targets = whole.map(({ target }) => target.length);
    const cut = whole.filter(({ input }) => maxInputLength > 0 && input.length > maxInputLength).length;
    const inputLengths = statistics(inputs);
    const targetLengths = statistics(targets);
    const operationsPerSecond = measureProducts(config.precision);
    const sizes = sizesOf(model);
    const estimate = {
      config,
      promptRows,
      loraParameters,
      inputLengths,
      targetLengths,
      sizes,
      operationsPerSecond,
      kind: model.kind,
    };
    return {
      kind: model.kind,
      parameters: sizes.all,
      config,
      trainExamples: training.length,
      validationExamples: validation.length,
      examples: training
        .slice(0, shownExamples)
        .map((e, i) => showExample(seen(e, i), loaded, promptRows, maxInputLength)),
      inputLengths,
      targetLengths,
      cutInputs: Math.round((cut * training.length) / measured.length),
      operationsPerSecond,
      stages: method.stages.map((stage) => estimateStage(stage, config[stage.settings], estimate)),
    };
  } finally {
    for (const parameter of model.parameters.values()) parameter.dispose();
  }
}

function showExample(
  example: Example,
  { model, tokenizer }: { model: LanguageModel; tokenizer: Tokenizer },
  promptRows: number,
  maxInputLength: number,
): ShownExample {
  const { input, target } = tokenizeExample(example, tokenizer, model.kind, maxInputLength);
  const show = (ids: readonly number[]) =>
    ids.map((id) => ({ id, text: tokenizer.decode([id], { specialTokens: true }) }));
  return {
    input: example.input,
    target: example.target,
    promptRows,
    inputTokens: show(input),
    targetTokens: show(target),
    cutTokens: tokenizeInput(example.input, tokenizer, model.kind).length - input.length,
  };
}

function statistics(lengths: readonly number[]): LengthStatistics {
  const sorted = [...lengths].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
  const mean = lengths.reduce((sum, n) => sum + n, 0) / lengths.length;
  return { mean, median: at(0.5), p95: at(0.95), longest: sorted.at(-1)! };
}

/** Floating-point operations a second of a matrix product, measured for a moment. */
function measureProducts(precision: TrainingConfig['precision']): number {
  const size = 512;
  return noGrad(() =>
    scope(() => {
      const dtype = precision === 'bf16' ? 'bfloat16' : 'float32';
      const a = uniform([size, size], -1, 1, 1).to(dtype);
      const b = uniform([size, size], -1, 1, 2).to(dtype);
      a.matmul(b).dispose();
      const started = performance.now();
      let products = 0;
      do {
        a.matmul(b).dispose();
        products++;
      } while (performance.now() - started < 1000 * measureSeconds);
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
  readonly width: number;
  readonly inner: number;
  readonly heads: number;
  readonly sourceLayers: number;
  readonly targetLayers: number;
  readonly rows: number;
}

function sizesOf(model: LanguageModel): Sizes {
  const config = model.config() as Readonly<Record<string, number | undefined>>;
  const count = (keep: (name: string) => boolean) =>
    [...model.parameters].reduce((n, [name, { numel }]) => n + (keep(name) ? numel : 0), 0);
  const { width, vocabularySize: rows } = model.shape;
  const seq2seq = model.kind === 'encoder-decoder';
  const layers = config.num_layers ?? config.num_hidden_layers ?? 0;
  return {
    all: count(() => true),
    source: seq2seq ? count((name) => name.startsWith('encoder.')) : count((name) => name.includes('layers.')),
    target: seq2seq ? count((name) => name.startsWith('decoder.')) : 0,
    head: rows * width,
    width,
    inner: config.d_ff ?? config.intermediate_size ?? 4 * width,
    heads: config.num_heads ?? config.num_attention_heads ?? 1,
    sourceLayers: layers,
    targetLayers: seq2seq ? (config.num_decoder_layers ?? layers) : 0,
    rows,
  };
}

interface EstimateInput {
  readonly config: TrainingConfig;
  readonly promptRows: number;
  readonly loraParameters: number;
  readonly inputLengths: LengthStatistics;
  readonly targetLengths: LengthStatistics;
  readonly sizes: Sizes;
  readonly operationsPerSecond: number;
  readonly kind: LanguageModel['kind'];
}

function estimateStage({ name, trains }: Stage, settings: StageConfig, input: EstimateInput): StageEstimate {
  const { config, promptRows, loraParameters, inputLengths, targetLengths, sizes, operationsPerSecond, kind } = input;
  const seq2seq = kind === 'encoder-decoder';
  const trainsModel = trains.includes('model');
  const trainedParameters =
    (trainsModel ? sizes.all : 0) +
    (trains.includes('prompt') ? promptRows * sizes.width : 0) +
    (trains.includes('lora') ? loraParameters : 0);

  // A matrix of N parameters costs 2N operations a token forward, 2N for the gradient of its input, 2N for its own.
  const passes = trainsModel ? 6 : 4;
  const source = promptRows + inputLengths.mean + (seq2seq ? 0 : targetLengths.mean);
  const attention = 2 * sizes.sourceLayers * source * sizes.width;
  const perExample = source * (sizes.source + attention) + targetLengths.mean * (sizes.target + sizes.head);
  const seconds = (settings.steps * config.batchSize * passes * perExample) / (operationsPerSecond * efficiency);

  const bytes = config.precision === 'bf16' ? 2 : 4;
  const weights = sizes.all * bytes + promptRows * sizes.width * 4;
  const gradients = trainedParameters * (trainsModel ? bytes : 4);
  const moments = { adamw: 2, sgd: 0, adafactor: trainsModel ? 0.01 : 1 }[settings.optimizer];
  const masterCopy = trainsModel && bytes === 2 ? 1 : 0;
  const optimizer = trainedParameters * 4 * (moments + masterCopy);
  // What autograd keeps of a layer for a token: about ten vectors of the width, three of the inner width, and its row of
  // attention weights for each head. Padded to the longest of a pass: the 95th percentile stands for it.
  const longSource = promptRows + inputLengths.p95 + (seq2seq ? 0 : targetLengths.p95);
  const layer = (length: number) => length * (10 * sizes.width + 3 * sizes.inner + sizes.heads * length) * bytes;
  // Logits, their float32 copy, log-probabilities and gradient.
  const logits = targetLengths.p95 * sizes.rows * (bytes + 12);
  const activations =
    Math.min(config.microBatchSize, config.batchSize) *
    (sizes.sourceLayers * layer(longSource) + sizes.targetLayers * layer(targetLengths.p95) + logits);
  return {
    stage: name,
    steps: settings.steps,
    trainedParameters,
    memory: {
      weights,
      gradients,
      optimizer,
      activations,
      total: programBytes + weights + gradients + optimizer + activations,
    },
    seconds,
  };
}

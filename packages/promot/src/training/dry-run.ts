// What a training run would do, without training: examples as the model sees them, lengths, sizes, memory, time.
// Shapes: B examples of a pass, S source length with the prompt, T target length, E width, F inner width, H heads, V rows.
import { defaultDevice, noGrad, scope, type Tensor, uniform } from '@promot/torch';
import type { Stage } from '../methods/index.js';
import type { LanguageModel } from '../models/model.js';
import { tokenizeExample, tokenizeInput } from '../models/tokenize.js';
import type { Example } from '../tasks/task.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import type { TrainingConfig } from './config.js';
import type { TrainingExamples } from './examples.js';
import type { TrainRequest } from './request.js';
import { setUp, tearDown } from './setup.js';
import { runBefore } from './train.js';

export interface ShownToken {
  readonly id: number;
  readonly text: string;
}

export interface ShownExample {
  /** Where there are several. */
  readonly task?: string;
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
  /** What lies unused between tensors of ever other sizes. */
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

export interface DryRun {
  readonly kind: LanguageModel['kind'];
  readonly parameters: number;
  readonly config: TrainingConfig;
  /** Where it would train. */
  readonly device: string;
  readonly trainExamples: number;
  readonly validationExamples: number;
  readonly examples: readonly ShownExample[];
  readonly inputLengths: LengthStatistics;
  readonly targetLengths: LengthStatistics;
  /** Training inputs that `maxInputLength` or the task itself cuts. */
  readonly cutInputs: number;
  /** Measured speed of matrix products in the run's precision, floating-point operations a second. */
  readonly operationsPerSecond: number;
  readonly stages: readonly StageEstimate[];
}

const shownExamples = 3;
/** Lengths are measured on at most so many training examples of a task, evenly taken. */
const measuredExamples = 2000;
const measureSeconds = 0.3;
/** Share of the measured speed that a training step reaches: small products, attention, dropout and the optimizer are slower. */
const efficiency = 0.4;
/** Node.js, libtorch's code and buffers. */
const programBytes = 220e6;
/**
 * Of all tensors' memory. Measured on RTE, batch 16: T5-small 1.0, SmolLM2-135M 0.6 (its prompt trained) and 0.7 (itself).
 */
const holesShare = 0.6;

/**
 * Looks at a run without training it; writes nothing.
 * Errors: those that `train` has for a model, task, data, method or setting at fault.
 *
 * @example const { stages } = await dryRun({ model: 'lab', task: 'lab-rte', method: 'promot', out: 'runs/rte' });
 */
export async function dryRun(request: TrainRequest): Promise<DryRun> {
  runBefore(request.out, request.resume ?? false);
  const setup = await setUp(request);
  try {
    const { loaded, method, config, tasks, phases, lora } = setup;
    const { model } = loaded;
    const { maxInputLength, precision } = config;
    const promptRows = method.adapter === 'prompt' ? config.promptLength : 0;
    const loraParameters = [...(lora?.parameters.values() ?? [])].reduce((n, { numel }) => n + numel, 0);
    const operationsPerSecond = measureProducts(precision);
    const sizes = sizesOf(model);
    const lengthsOf = remember((examples, shots) => measureLengths(examples, shots, maxInputLength));
    const { shots } = phases.at(-1)!.mixture.sources[0]!;
    const shown = tasks.map(({ examples }) => ({ examples, ...lengthsOf(examples, shots) }));
    const total = (of: (t: (typeof shown)[number]) => number) => shown.reduce((sum, one) => sum + of(one), 0);
    return {
      kind: model.kind,
      parameters: sizes.all,
      config,
      device: defaultDevice(),
      trainExamples: total(({ examples }) => examples.examples.length),
      validationExamples: tasks.reduce((sum, { validation }) => sum + validation.length, 0),
      examples: tasks.flatMap(({ examples }) =>
        examples.examples.slice(0, Math.max(1, Math.floor(shownExamples / tasks.length))).map((_, i) => ({
          ...(tasks.length > 1 && { task: examples.task.name }),
          ...showExample(examples.text(i, 0, shots), loaded, promptRows, maxInputLength),
        })),
      ),
      inputLengths: statistics(shown.flatMap(({ inputs }) => inputs)),
      targetLengths: statistics(shown.flatMap(({ targets }) => targets)),
      cutInputs: Math.round(total(({ examples, cut, inputs }) => (cut * examples.examples.length) / inputs.length)),
      operationsPerSecond,
      stages: phases.map(({ stage, task, mixture: { sources } }) => {
        const measured = sources.map((source) => ({ rate: source.rate, ...lengthsOf(source.examples, source.shots) }));
        const lengths = (of: (one: Lengths) => readonly number[]) =>
          mixed(measured.map((one) => ({ rate: one.rate, lengths: statistics(of(one)) })));
        return {
          ...estimateStage(stage, {
            config,
            promptRows,
            prompts: task === undefined ? tasks.length : 1,
            loraParameters,
            inputLengths: lengths(({ inputs }) => inputs),
            targetLengths: lengths(({ targets }) => targets),
            sizes,
            operationsPerSecond,
            kind: model.kind,
          }),
          ...(task !== undefined && { task }),
        };
      }),
    };
  } finally {
    tearDown(setup);
  }
}

/** Lengths in tokens of a task's training examples as the first epoch sees them, and how many inputs are cut. */
interface Lengths {
  readonly inputs: readonly number[];
  readonly targets: readonly number[];
  readonly cut: number;
}

function measureLengths(examples: TrainingExamples, shots: 0 | 1, maxInputLength: number): Lengths {
  const { model, tokenizer } = examples.options.loaded;
  const every = Math.max(1, Math.ceil(examples.examples.length / measuredExamples));
  const whole = examples.examples.flatMap((_, i) =>
    i % every === 0 ? [tokenizeExample(examples.text(i, 0, shots), tokenizer, model.kind)] : [],
  );
  return {
    inputs: whole.map(({ input }) => (maxInputLength ? Math.min(input.length, maxInputLength) : input.length)),
    targets: whole.map(({ target }) => target.length),
    cut: whole.filter(
      ({ input }, n) => (maxInputLength > 0 && input.length > maxInputLength) || examples.isCut(n * every),
    ).length,
  };
}

type Measure = (examples: TrainingExamples, shots: 0 | 1) => Lengths;

/** Measures what stands in several stages only once. */
function remember(measure: Measure): Measure {
  const known = new Map<TrainingExamples, Lengths[]>();
  return (examples, shots) => {
    const own = known.get(examples) ?? [];
    known.set(examples, own);
    own[shots] ??= measure(examples, shots);
    return own[shots];
  };
}

/** Of a mixture: the mean by its rates, and for all else the source with the longest. */
function mixed(parts: readonly { rate: number; lengths: LengthStatistics }[]): LengthStatistics {
  const rates = parts.reduce((sum, { rate }) => sum + rate, 0);
  const most = (key: keyof LengthStatistics) => Math.max(...parts.map(({ lengths }) => lengths[key]));
  const mean = parts.reduce((sum, { rate, lengths }) => sum + (rate / rates) * lengths.mean, 0);
  return { mean, median: most('median'), p95: most('p95'), longest: most('longest') };
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
    linearSides: [...model.linears.values()].reduce((n, { weight }) => n + weight.size(0) + weight.size(1), 0),
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
  /** Soft prompts that a stage trains, where it trains some. */
  readonly prompts: number;
  readonly loraParameters: number;
  readonly inputLengths: LengthStatistics;
  readonly targetLengths: LengthStatistics;
  readonly sizes: Sizes;
  readonly operationsPerSecond: number;
  readonly kind: LanguageModel['kind'];
}

function estimateStage({ name, settings: stage, trains }: Stage, input: EstimateInput): StageEstimate {
  const { config, promptRows, prompts, loraParameters, inputLengths, targetLengths, sizes } = input;
  const { operationsPerSecond, kind } = input;
  const settings = config[stage];
  const seq2seq = kind === 'encoder-decoder';
  const { loraRank } = config.stage2;
  // Otherwise the weights stay, and what trains is kept in float32.
  const trainsModel = trains.includes('model') && loraRank === 0;
  const trainedParameters =
    (trainsModel ? sizes.all : 0) +
    (trains.includes('model') ? loraRank * sizes.linearSides : 0) +
    (trains.includes('prompt') ? prompts * promptRows * sizes.width : 0) +
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
  // attention weights for each head. The longest example is met sooner or later, and its pass is padded to it.
  const longSource = promptRows + inputLengths.longest + (seq2seq ? 0 : targetLengths.longest);
  const layer = (length: number) => length * (10 * sizes.width + 3 * sizes.inner + sizes.heads * length) * bytes;
  // Logits, their float32 copy, log-probabilities and gradient.
  const logits = targetLengths.longest * sizes.rows * (bytes + 12);
  const activations =
    Math.min(config.microBatchSize, config.batchSize) *
    (sizes.sourceLayers * layer(longSource) + sizes.targetLayers * layer(targetLengths.longest) + logits);
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

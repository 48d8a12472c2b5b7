// What a run would take on given hardware, from a model's configuration alone: no weights, no data. Memory of one rank
// by part, seconds a step, and what fits.
// Shapes: B examples of a pass, S source length with the prompt, T target length, E width, F inner width, H heads, D
// head width, V rows.
import { type DType, op, type Tensor } from '@promot/torch';
import { UserError } from '../base/errors.js';
import type { Block } from '../models/blocks.js';
import { buildModel } from '../models/load.js';
import type { LanguageModel } from '../models/model.js';
import { type Initial, Weights } from '../models/weights.js';

/** How the work is divided. */
export interface Way {
  readonly name: string;
  readonly shard: false | 'optimizer' | true;
  readonly checkpointing: boolean;
  /** What trains: the weights, a soft prompt, or LoRA of this rank on all linear layers. */
  readonly trains: 'model' | 'prompt' | { readonly loraRank: number };
}

export interface PlanInput {
  /** With config.json's keys. */
  readonly config: Record<string, unknown>;
  /** What to call the configuration in messages. */
  readonly place: string;
  readonly precision: 'fp32' | 'bf16';
  readonly optimizer: 'adafactor' | 'adamw';
  /** Of the longest example. */
  readonly inputTokens: number;
  readonly targetTokens: number;
  readonly promptRows: number;
  readonly batchSize: number;
  readonly microBatchSize: number;
  readonly ranks: number;
  /** Floating-point operations a second that one rank reaches. */
  readonly speed: number;
}

/** Bytes of one rank at its fullest. */
export interface PlanMemory {
  readonly weights: number;
  readonly gradients: number;
  readonly optimizer: number;
  /** Parameters of blocks that are gathered from the other ranks, and their gradients before they are divided. */
  readonly gathered: number;
  readonly activations: number;
  readonly total: number;
}

export interface PlannedWay {
  readonly way: Way;
  readonly parameters: number;
  readonly trained: number;
  readonly memory: PlanMemory;
  readonly seconds: number;
}

/** Parameters that have a shape and no numbers. */
class ShapeWeights extends Weights {
  constructor(dtype: DType) {
    super(dtype, 'meta');
  }
  override stores(): boolean {
    return false;
  }
  protected override read(_name: string, shape: readonly number[], _initial: Initial): Tensor {
    return op('aten::zeros', shape, 'float32', undefined, 'meta');
  }
}

/** The facts of a model that a plan needs. Throws UserError for a configuration that promot does not know. */
function shapeOf({ config, place, precision }: PlanInput) {
  const model = buildModel(config, new ShapeWeights(precision === 'bf16' ? 'bfloat16' : 'float32'), place);
  try {
    const shapes = new Map([...model.parameters].map(([name, { shape }]) => [name, shape]));
    const inBlocks = new Set(model.blocks.list.flatMap(({ parameters }) => parameters()));
    const divided = new Set([...model.parameters].flatMap(([name, tensor]) => (inBlocks.has(tensor) ? [name] : [])));
    const sizes = model.blocks.list.map((block) => numbersOf(block));
    return { kind: model.kind, shape: model.shape, shapes, divided, sizes, linears: linearsOf(model) };
  } finally {
    for (const parameter of model.parameters.values()) parameter.dispose();
  }
}

const numbersOf = ({ parameters }: Block) => parameters().reduce((sum, { numel }) => sum + numel, 0);
const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Numbers of the matrices that source tokens and target tokens pass, sides of all, and the width of attention. */
function linearsOf(model: LanguageModel) {
  let [source, target, sides, attention, keys] = [0, 0, 0, 0, 0];
  for (const [name, { weight }] of model.linears) {
    const { stack, parts, attention: kind } = model.places.get(name)!;
    const isSource = model.kind === 'decoder-only' || stack === 'encoder';
    // The decoder's keys and values of the encoder's states are made for every source token.
    const isCross = kind === 'cross' && parts.some(({ role }) => role === 'key' || role === 'value');
    if (isSource || isCross) source += weight.numel;
    else target += weight.numel;
    sides += weight.size(0) + weight.size(1);
    const rows = (role: string) => parts.find((part) => part.role === role)?.rows ?? 0;
    attention = Math.max(attention, rows('query'));
    keys = Math.max(keys, rows('key'));
  }
  return { source, target, sides, attention, keys };
}

/** Of a model as it is stored: what Adafactor factors has rows and columns (packages/torch/src/optim/adafactor.ts). */
function optimizerNumbers(shape: readonly number[], optimizer: PlanInput['optimizer']): number {
  if (optimizer === 'adamw') return 2 * product(shape);
  const isFactored = shape.length === 2 && Math.min(...shape) >= 128;
  return isFactored ? shape[0]! + shape[1]! : product(shape);
}

/** Node.js, libtorch's code and buffers. */
const programBytes = 220e6;

/**
 * A run's memory and time in one way.
 *
 * What autograd keeps of a layer for each token: the inputs and outputs of its two norms (four of the width), queries,
 * keys, values and the attention's output, and of the feed-forward part both products, the activation and what goes
 * into the last matrix. plan.test.ts compares that with what models take.
 */
function planWay(input: PlanInput, way: Way, model: ReturnType<typeof shapeOf>): PlannedWay {
  const { kind, shape, shapes, divided, sizes, linears } = model;
  const { ranks, precision, promptRows, microBatchSize, batchSize, optimizer } = input;
  const bytes = precision === 'bf16' ? 2 : 4;
  const { width, inner, heads, layers, vocabularySize } = shape;
  const isSeq2seq = kind === 'encoder-decoder';
  const trainsModel = way.trains === 'model';
  const parameters = [...shapes.values()].reduce((sum, one) => sum + product(one), 0);
  const additions =
    way.trains === 'prompt' ? promptRows * width : way.trains === 'model' ? 0 : way.trains.loraRank * linears.sides;
  const trained = trainsModel ? parameters : additions;

  const share = (of: 'weights' | 'optimizer') =>
    way.shard === true || (way.shard === 'optimizer' && of === 'optimizer') ? 1 / ranks : 1;
  // Norms at the ends are whole on every rank.
  const sum = (of: (shape: readonly number[]) => number, part: number) =>
    [...shapes].reduce((total, [name, one]) => total + of(one) * (divided.has(name) ? part : 1), 0);
  const weights = sum(product, share('weights')) * bytes + promptRows * width * 4;
  const gradients = trainsModel ? sum(product, share('weights')) * bytes : additions * 4;
  const master = bytes === 2 ? 1 : 0;
  const state = trainsModel
    ? sum((one) => optimizerNumbers(one, optimizer) + master * product(one), share('optimizer')) * 4
    : additions * 4 * (optimizer === 'adamw' ? 2 : 1);
  // One block in use and one on its way, each once as it travels and once in place; then its gradient, in float32
  // twice.
  const [largest = 0, next = 0] = [...sizes].sort((a, b) => b - a);
  const gathered = way.shard === true ? (2 * largest + next) * bytes + (trainsModel ? largest * (bytes + 8) : 0) : 0;

  const { source, target } = lengthsOf(input, isSeq2seq);
  const vectors = 4 * width + 4 * linears.attention + 4 * inner;
  // The attention to the encoder's states has a norm, queries and outputs of its own.
  const crossing = isSeq2seq ? 2 * width + 2 * linears.attention : 0;
  // T5's bias of positions has a gradient, which the fused kernels of attention do not give: weights are kept.
  const scores = (length: number) => (isSeq2seq ? heads * length : 0);
  const first = { count: isSeq2seq ? layers.encoder : layers.decoder, length: source, layer: vectors + scores(source) };
  const second = { count: layers.decoder, length: target, layer: vectors + crossing + scores(target) + scores(source) };
  const stacks = isSeq2seq ? [first, second] : [first];
  // Of the encoder's states each layer of the decoder keeps its keys and values.
  const cross = isSeq2seq ? layers.decoder * source * 2 * linears.attention : 0;
  const recompute = way.checkpointing || way.shard === true;
  const whole = stacks.reduce((total, { count, length, layer }) => total + count * length * layer, 0) + cross;
  // The inputs of all layers, and one layer whole; of T5's the gradients of its weights of attention, too.
  const again =
    stacks.reduce((total, { count, length }) => total + (count + 1) * length * width, 0) +
    Math.max(...stacks.map(({ length, layer }) => length * (layer + 2 * scores(source))));
  // Gradients on their way through a feed-forward part: that of the last layer comes while all others wait.
  const last = isSeq2seq && !recompute ? target : source;
  const passing = 3 * last * inner;
  const logits = 2 * input.targetTokens * vocabularySize;
  const examples = Math.min(microBatchSize, Math.ceil(batchSize / ranks));
  // A gradient on its way to be added to that of the passes before.
  const added = trainsModel && way.shard !== true ? Math.max(...[...shapes.values()].map(product)) : additions;
  const activations = (examples * ((recompute ? again : whole) + passing + logits) + added) * bytes;

  // A matrix of N parameters costs 2N operations a token forward, 2N for the gradient of its input, 2N for its own.
  const passes = (trainsModel ? 6 : 4) + (recompute ? 2 : 0);
  const attention = (length: number, count: number) => 2 * count * length * linears.attention;
  const perExample =
    source * (linears.source + attention(source, stacks[0]!.count)) +
    (isSeq2seq ? target * (linears.target + attention(source + target, layers.decoder)) : 0) +
    input.targetTokens * vocabularySize * width;
  const seconds = (passes * batchSize * perExample) / (input.speed * ranks);
  const memory = { weights, gradients, optimizer: state, gathered, activations };
  const total = Object.values(memory).reduce((a, b) => a + b, programBytes);
  return { way, parameters, trained, memory: { ...memory, total }, seconds };
}

/** Tokens that each stack reads: of a decoder-only model, prompt, input and target together. */
function lengthsOf({ inputTokens, targetTokens, promptRows }: PlanInput, isSeq2seq: boolean) {
  const source = promptRows + inputTokens + (isSeq2seq ? 0 : targetTokens - 1);
  return { source, target: isSeq2seq ? targetTokens : 0 };
}

/** The ways worth a look for a model stage, from the fastest to the smallest; those of several ranks need some. */
export function waysOf(trains: Way['trains'], ranks: number): Way[] {
  const of = (name: string, shard: Way['shard'], checkpointing: boolean): Way => ({
    name,
    shard,
    checkpointing,
    trains,
  });
  return [
    of(ranks > 1 ? 'data parallel' : 'one process', false, false),
    of(ranks > 1 ? 'data parallel, checkpointed' : 'one process, checkpointed', false, true),
    ...(ranks > 1 && trains === 'model' ? [of('optimizer divided, checkpointed', 'optimizer', true)] : []),
    ...(ranks > 1 ? [of('divided', true, true)] : []),
  ];
}

/**
 * Plans all ways. Throws UserError for a configuration that promot does not know, or numbers out of range.
 *
 * @example planRun(input, waysOf('model', 8)).find(({ memory }) => memory.total < 80e9);
 */
export function planRun(input: PlanInput, ways: readonly Way[]): PlannedWay[] {
  if (input.inputTokens < 1 || input.targetTokens < 1)
    throw new UserError('a plan needs at least one token of each side');
  const model = shapeOf(input);
  return ways.map((way) => planWay(input, way, model));
}

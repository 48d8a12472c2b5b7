// The training loop: batches in, parameters moved, metrics and checkpoints out. It knows nothing of tasks, methods or
// files.
import {
  clipScale,
  deriveSeed,
  gradientNorm,
  inModule,
  isOutOfMemory,
  type Linear,
  type Optimizer,
  type Parameters,
  scope,
  stack,
  type Tensor,
  trimGrownMemory,
  trimMemory,
  withDevice,
  withPackedWeights,
} from '@promot/torch';
import { UserError } from '../base/errors.js';
import type { Block } from '../models/blocks.js';
import { Dropout } from '../models/dropout.js';
import { type LanguageModel, predictedIds, type TokenizedExample } from '../models/model.js';
import { idTensor } from '../models/padding.js';
import { blockwise } from './blockwise.js';
import type { MicroBatch } from './micro-batch.js';
import type { Pass } from './objectives/objective.js';
import { type OwnPass, ownPasses, roundsOf, Sums } from './parallel.js';
import { backwardInPieces, tokensOfPiece } from './pieces.js';
import type { Shards } from './shards.js';
import { SharedBeginnings, withoutBeginning } from './shared-beginnings.js';
import { TableGradient } from './table-gradient.js';

export interface LoopOptions {
  readonly model: LanguageModel;
  /** What the optimizer moves; everything else keeps its bits. */
  readonly trained: Parameters;
  readonly optimizer: Optimizer;
  /** The batch of a step (from 1), in passes: a pure function of the step, so that a resumed run sees the same. */
  readonly batch: (step: number) => readonly MicroBatch[];
  readonly learningRate: (step: number) => number;
  readonly steps: number;
  /** The sum of the losses of a pass's predicted tokens, a scalar with gradient. */
  readonly loss: (pass: Pass) => Tensor;
  /** Whether the loss reads nothing of a pass but logits and targets (`Objective.ofLogitsAlone`). Default false. */
  readonly lossOfLogitsAlone?: boolean;
  /**
   * What the model pays where it reads the inputs of a pass once more, without prompt and dropout; a sum as `loss`
   * gives. Passes that do not need it are read once.
   */
  readonly second?: {
    needs(pass: MicroBatch): boolean;
    loss(pass: Pass): Tensor;
  };
  readonly dropout: number;
  /** Seed of the dropout masks. */
  readonly seed: number;
  /** Gradients longer than this are scaled down; 0: never. */
  readonly gradientClip: number;
  /** Whether the layers' graphs are made anew in the backward pass: the same bits with less memory. Default false. */
  readonly recompute?: boolean;
  /** Where the model or the optimizer is divided over the ranks; `trained` are then this rank's rows. */
  readonly shards?: Shards | undefined;
  /**
   * Called where memory did not suffice for a step, on all ranks; what `batch` gives of it afterwards is tried. Where
   * it is absent or gives false, the error ends the loop.
   */
  readonly onOutOfMemory?: (step: number) => Promise<boolean>;
  /**
   * Called before the first step that is taken here, with the layers laid out as they are after a step: an evaluation
   * gives the same bits in either place. Return false to take no step.
   */
  readonly beforeFirst?: () => Promise<boolean>;
  /** Called after each step; the loop waits for it. Return false to stop after this step. */
  readonly afterStep: (metrics: StepMetrics) => Promise<boolean>;
}

interface StepMetrics {
  /** From 1. */
  readonly step: number;
  /**
   * Mean over the batch's predicted (target) tokens, as the objective says, at the weights before this step's update.
   */
  readonly loss: number;
  readonly learningRate: number;
  /** Euclidean norm of the gradient, before clipping. */
  readonly gradientNorm: number;
  /** Real tokens read and predicted in this step, prompts not counted. */
  readonly tokens: number;
  /** Seconds that this step took. */
  readonly seconds: number;
}

/**
 * Trains from the optimizer's step on to `steps`, or until `afterStep` returns false. Returns whether it reached the
 * end. The gradient of a batch is that of the mean loss over all its target tokens, whatever its division into passes
 * and ranks. Throws where the loss or a gradient is not finite, before any parameter is moved.
 */
export async function trainLoop(options: LoopOptions): Promise<boolean> {
  const { model, trained, optimizer, steps, shards } = options;
  const moved = new Set([...trained.values(), ...optimizer.parameters.values()]);
  for (const parameter of moved) parameter.requiresGrad = true;
  const sums = new Sums(shards?.wholeOf(trained) ?? trained, model);
  const isDivided = shards?.part === 'all';
  const table = isDivided ? undefined : TableGradient.of(model, trained.values());
  const run = async () => {
    if (options.beforeFirst && !(await options.beforeFirst())) return optimizer.steps >= steps;
    while (optimizer.steps < steps) {
      const step = optimizer.steps + 1;
      const metrics = await withDevice(model.embedding.device, () => trainStep(model, step, options, sums, table));
      if (!(await options.afterStep(metrics))) return optimizer.steps >= steps;
      trimGrownMemory();
    }
    return true;
  };
  try {
    return await withPackedWeights(isDivided ? [] : packedLayers(model, trained), run, { gradient: true });
  } finally {
    table?.dispose();
    for (const parameter of moved) {
      parameter.clearGrad();
      parameter.requiresGrad = false;
    }
    // The next stage looks at how much memory there is.
    trimMemory();
  }
}

/** More than this many bytes of weights are not laid out twice in place of once. */
export const mostPacked = 1e9;

/**
 * The linear layers that training lays out for the processor's products: all, where none of their weights is trained.
 */
function packedLayers(model: LanguageModel, trained: Parameters): readonly Linear[] {
  const layers = [...model.linears.values()];
  const own = new Set(trained.values());
  if (layers.some(({ weight, bias }) => own.has(weight) || (bias && own.has(bias)))) return [];
  const bytes = layers.reduce((sum, { weight }) => sum + weight.numel * (weight.dtype === 'float32' ? 4 : 2), 0);
  return bytes > mostPacked ? [] : layers;
}

async function trainStep(
  model: LanguageModel,
  step: number,
  options: LoopOptions,
  sums: Sums,
  table: TableGradient | undefined,
): Promise<StepMetrics> {
  const started = performance.now();
  const { shards } = options;
  let passes = options.batch(step);
  let losses: Map<number, number> | undefined;
  while (true) {
    let own = new Map<number, number>();
    let error: unknown;
    shards?.beginStep();
    try {
      own = ownPart(model, step, passes, options, sums, table);
    } catch (found) {
      if (!isOutOfMemory(found) || !options.onOutOfMemory) throw found;
      error = found;
      table?.dispose();
      if (shards?.part === 'all') goAlong(model, step, passes, options, sums);
    }
    losses = await sums.add(own, error !== undefined);
    if (losses) break;
    // A rank that was out of memory, this one or another, has spoilt the sums.
    for (const parameter of [...options.trained.values(), ...options.optimizer.parameters.values()])
      parameter.clearGrad();
    trimMemory();
    if (!(await options.onOutOfMemory?.(step)))
      throw tooLarge(
        step,
        'a pass is one example already; activationCheckpointing=on or shorter inputs need less',
        error,
      );
    passes = options.batch(step);
  }
  const count = (length: (e: TokenizedExample) => number) =>
    passes.reduce((n, pass) => n + pass.examples.reduce((m, e) => m + length(e), 0), 0);
  // In the passes' order, whoever computed them.
  const loss = passes.reduce((sum, _, pass) => sum + losses.get(pass)!, 0);
  shards?.collect();
  const { optimizer } = options;
  const norm = shards ? shards.gradientNorm(optimizer.parameters) : gradientNorm(options.trained);
  if (!Number.isFinite(loss) || !Number.isFinite(norm))
    throw new UserError(
      `step ${step}: the ${Number.isFinite(loss) ? 'gradient' : 'loss'} is not finite; a smaller learning rate ` +
        'may help',
    );
  const learningRate = options.learningRate(step);
  const scale = options.gradientClip > 0 ? clipScale(norm, options.gradientClip) : 1;
  inModule('optimizer', () => optimizer.step(learningRate, scale));
  shards?.publish(optimizer.parameters);
  return {
    step,
    loss,
    learningRate,
    gradientNorm: norm,
    tokens: count((e) => e.input.length + e.target.length),
    seconds: (performance.now() - started) / 1000,
  };
}

/**
 * The ranks of a divided model exchange something in the midst of a pass, and wait for one that lacked memory there. It
 * goes through its part once more with one example a pass, so that they come to the end of theirs.
 */
function goAlong(
  model: LanguageModel,
  step: number,
  passes: readonly MicroBatch[],
  options: LoopOptions,
  sums: Sums,
): void {
  for (const parameter of options.trained.values()) parameter.clearGrad();
  options.shards!.repeatStep();
  trimMemory();
  try {
    ownPart(model, step, passes, options, sums, undefined, leastOf);
  } catch (found) {
    if (!isOutOfMemory(found)) throw found;
    throw tooLarge(step, 'not even passes of one example have room beside the layers under way', found);
  }
}

/** The smallest example of a pass that makes the model do all that the pass does. */
function leastOf(examples: readonly TokenizedExample[]): readonly TokenizedExample[] {
  const length = ({ input, target }: TokenizedExample) => input.length + target.length;
  const long = examples.filter((one) => length(one) > 1);
  return [(long.length > 0 ? long : examples).reduce((least, one) => (length(one) < length(least) ? one : least))];
}

/** `error`: this rank's own, where it was not another that lacked memory. */
function tooLarge(step: number, advice: string, error: unknown): UserError {
  const reason = error instanceof Error ? ` (${error.message})` : ' on another rank';
  return new UserError(`step ${step}: memory does not suffice${reason}: ${advice}`, { cause: error });
}

/**
 * Adds the gradient of this rank's passes to that of the parameters, and gives their losses, each divided by the tokens
 * of the batch.
 */
function ownPart(
  model: LanguageModel,
  step: number,
  passes: readonly MicroBatch[],
  options: LoopOptions,
  sums: Sums,
  table: TableGradient | undefined,
  some = (examples: readonly TokenizedExample[]) => examples,
): Map<number, number> {
  const predicted = passes.reduce((n, { examples }) => n + examples.reduce((m, e) => m + predictedIds(e).length, 0), 0);
  const { recompute = false, shards } = options;
  const divided = shards?.part === 'all' ? shards : undefined;
  // The ranks go through the blocks of a divided model together: each has as many passes, some of which count nothing.
  const own = divided ? roundsOf(passes) : ownPasses(passes).map((pass) => ({ pass, counts: true }));
  const beginnings = new SharedBeginnings(model, passes, divided ? passes : own.map(({ pass }) => passes[pass]!), {
    rate: options.dropout,
    seed: deriveSeed(options.seed, step),
    recompute,
    hooks: divided,
    table,
  });
  const partOf = ({ pass, counts }: OwnPass, isLast: boolean) => {
    const { prompt } = passes[pass]!;
    const examples = some(passes[pass]!.examples);
    const dropout =
      options.dropout > 0 ? new Dropout(options.dropout, deriveSeed(options.seed, step, pass)) : undefined;
    const second = options.second?.needs(passes[pass]!) ? options.second : undefined;
    // Gradients are summed over the ranks while those of the blocks before are computed.
    const hooksOf = (isLastReading: boolean) => {
      const done = (block: Block, last: boolean) => {
        if (isLast && isLastReading && last && !beginnings.uses(block)) sums.ready(block, table?.weight);
      };
      return divided ?? { done };
    };
    const inBatch = (sum: Tensor) => (counts ? sum.div(predicted) : sum.mul(0));
    const work = () =>
      blockwise(model, dropout, { recompute, hooks: hooksOf(!second) }, () => {
        const lossOf = (logits: Tensor, targets: Tensor) =>
          inModule('loss', () => inBatch(options.loss({ model, examples, prompt, logits, targets })));
        const { skip, attach } = beginnings.inFrontOf(passes[pass]!);
        const rest = skip > 0 ? examples.map((example) => withoutBeginning(example, skip)) : examples;
        const states = model.states(rest, { ...attach, dropout });
        const tokens = tokensOfPiece(model.shape.vocabularySize);
        // The ranks of a divided model gather the output layer together: all of them once a pass.
        if (options.lossOfLogitsAlone && !divided && states.size(0) > tokens)
          return backwardInPieces(model, states, examples, tokens, lossOf, () => table?.collectLogits());
        return lossOf(model.toLogits(states), idTensor(examples.flatMap(predictedIds)));
      });
    const read = (one: () => Tensor) => (table ? table.pass(one) : one());
    const loss = read(work);
    if (!second) return loss;
    const again = () =>
      blockwise(model, undefined, { recompute, hooks: hooksOf(true) }, () => {
        const logits = model.logits(examples);
        const targets = idTensor(examples.flatMap(predictedIds));
        return inModule('loss', () => inBatch(second.loss({ model, examples, logits, targets })));
      });
    return loss.add(read(again));
  };
  let ownLosses: readonly number[];
  try {
    ownLosses = scope(() => {
      const parts = own.map((one, i) => partOf(one, i === own.length - 1));
      beginnings.backward((block) => sums.ready(block, table?.weight));
      // Read when all passes are under way: a GPU has to finish all its work before a reading.
      return parts.length > 0 ? stack(parts).toNumbers() : [];
    });
  } finally {
    beginnings.dispose();
  }
  table?.finish();
  return new Map(own.flatMap(({ pass, counts }, i) => (counts ? [[pass, ownLosses[i]!] as const] : [])));
}

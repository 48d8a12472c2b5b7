// The gradient of a pass block by block: forward one after the other, backward from the last to the first, each with a
// graph of its own. A block's graph is kept from the forward pass, or (activation checkpointing) made anew from the
// block's inputs: then only these are held meanwhile. Both give the same bits.
//
// What lies between blocks (norms, sums, a prompt put in front) has an ordinary graph. It ends at the outputs of the
// blocks before, which are leaves, and its gradient is taken when the first block that reads it is done.
import { backward, keep, noGrad, scope, type Tensor } from '@promot/torch';
import { type Block, type BlockExecutor, mapTensors, parametersOf, tensorsIn } from '../models/blocks.js';
import type { Dropout } from '../models/dropout.js';
import type { LanguageModel } from '../models/model.js';

/** Who makes a block's parameters ready before it runs, and does something with their gradients afterwards. */
export interface BlockHooks {
  /** Before a block runs. Where it is there, no block's graph is kept but the last one's. */
  before?(block: Block, direction: 'forward' | 'backward'): void;
  /** After it has run forward, and its graph is not kept. */
  after?(block: Block): void;
  /** After its backward pass; `last`: no other part of this pass adds to the gradients of its parameters. */
  done?(block: Block, last: boolean): void;
}

export interface BlockwiseOptions {
  /** Whether graphs are made anew in the backward pass. */
  readonly recompute: boolean;
  readonly hooks?: BlockHooks;
}

/** Something with a gradient that blocks read. */
interface Source {
  /** With the graph that made it. */
  readonly whole: Tensor;
  /** What the blocks read. */
  readonly leaf: Tensor;
}

interface Run {
  readonly block: Block;
  /** Makes the outputs that have a gradient; only where they are to be made anew. */
  readonly again?: () => Tensor[];
  /** The outputs with their graph, where it was kept. */
  readonly outputs: Tensor[];
  /** The same as leaves: what the rest of the pass reads. */
  readonly leaves: readonly Tensor[];
  /** What this block is the first to read. */
  readonly sources: readonly Source[];
  readonly held: readonly Tensor[];
}

/**
 * Computes a pass of `model` with its loss (a scalar), forward and backward: gradients are added to those of the
 * leaves. `dropout` is the one that `work` uses. Returns the loss, detached.
 *
 * @example blockwise(model, dropout, { recompute: true }, () => model.logits(examples, { dropout }).sum());
 */
export function blockwise(
  model: LanguageModel,
  dropout: Dropout | undefined,
  options: BlockwiseOptions,
  work: () => Tensor,
): Tensor {
  const pass = new BlockwisePass(model, dropout, options);
  try {
    return scope(() => {
      const loss = pass.forward(work);
      // Without a gradient `work` has gone back to the last block's outputs itself.
      if (loss.requiresGrad) loss.backward();
      pass.backward();
      return loss.detach();
    });
  } finally {
    pass.dispose();
  }
}

/** A pass whose backward part may come later. Holds tensors until then, or until `dispose`. */
export class BlockwisePass implements BlockExecutor {
  readonly #runs: Run[] = [];
  /** What blocks have read so far: with a gradient, and without. */
  readonly #sources = new Map<Tensor, Source>();
  readonly #constants = new Map<Tensor, Tensor>();
  /** The output layer, where its parameters are still needed. */
  readonly #open: Block[] = [];

  constructor(
    readonly model: LanguageModel,
    readonly dropout: Dropout | undefined,
    readonly options: BlockwiseOptions,
  ) {}

  /** Runs the model within `work` block by block. */
  forward<T>(work: () => T): T {
    const { blocks } = this.model;
    const before = blocks.executor;
    blocks.executor = this;
    try {
      return work();
    } finally {
      blocks.executor = before;
    }
  }

  run<I, O>(block: Block, inputs: I, body: (inputs: I) => O): O {
    const { dropout } = this;
    const { recompute, hooks } = this.options;
    const sources: Source[] = [];
    const own = mapTensors(inputs, (tensor) => this.#read(tensor, sources));
    const place = dropout?.place ?? 0;
    const has = [...tensorsIn(own), ...parametersOf(block)].some((tensor) => tensor.requiresGrad);
    // The graph of a table's rows holds nothing but their numbers.
    const isAgain = has && (hooks?.before !== undefined || (recompute && block.linears.length > 0));
    hooks?.before?.(block, 'forward');
    const result = scope(() => (isAgain || !has ? noGrad(() => body(own)) : body(own)));
    if (!has || isAgain) hooks?.after?.(block);
    if (!has) return result;
    const outputs: Tensor[] = [];
    const leaves: Tensor[] = [];
    const given = mapTensors(result, (output) => {
      const leaf = output.detach();
      leaf.requiresGrad = true;
      outputs.push(output);
      leaves.push(keep(leaf.alias()));
      return leaf;
    });
    const again = () => {
      if (dropout) dropout.place = place;
      return tensorsIn(body(own));
    };
    this.#runs.push({
      block,
      ...(isAgain ? { again, outputs: [] } : { outputs: outputs.map((output) => keep(output.alias())) }),
      leaves,
      sources,
      held: sources.flatMap(({ whole, leaf }) => [whole, leaf]),
    });
    return given;
  }

  runLast<O>(block: Block, body: () => O): O {
    this.options.hooks?.before?.(block, 'forward');
    this.#open.push(block);
    return body();
  }

  /** Whether the backward pass, which is yet to come, adds to the gradients of this block. */
  goesBackThrough(block: Block): boolean {
    return this.#runs.some((run) => run.block === block);
  }

  /** Goes on where the gradients have come to the outputs of blocks: from the last block back to the first. */
  backward(): void {
    const { hooks } = this.options;
    const left = this.#uses();
    const done = (block: Block) => {
      let last = true;
      for (const parameter of block.parameters()) {
        const uses = left.get(parameter)! - 1;
        left.set(parameter, uses);
        if (uses > 0) last = false;
      }
      hooks?.done?.(block, last);
    };
    for (const block of this.#open.splice(0)) done(block);
    for (let run = this.#runs.pop(); run; run = this.#runs.pop()) {
      const { block, leaves, sources, held, again, outputs } = run;
      try {
        if (again) hooks?.before?.(block, 'backward');
        scope(() => {
          const gradients = leaves.map((leaf) => leaf.grad);
          if (gradients.some((gradient) => gradient !== undefined)) {
            const made = again ? again() : outputs;
            through(made, gradients);
          }
        });
        done(block);
        scope(() =>
          through(
            sources.map(({ whole }) => whole),
            sources.map(({ leaf }) => leaf.grad),
          ),
        );
      } finally {
        for (const tensor of [...leaves, ...outputs, ...held]) tensor.dispose();
      }
    }
  }

  dispose(): void {
    for (const { leaves, outputs, held } of this.#runs)
      for (const tensor of [...leaves, ...outputs, ...held]) tensor.dispose();
    for (const tensor of this.#constants.values()) tensor.dispose();
    this.#runs.length = 0;
    this.#constants.clear();
    this.#sources.clear();
  }

  /** What a block reads in place of a tensor: a leaf, or the same without a gradient. Lives until its backward pass. */
  #read(tensor: Tensor, sources: Source[]): Tensor {
    const known = this.#sources.get(tensor)?.leaf ?? this.#constants.get(tensor);
    if (known) return known;
    if (!tensor.requiresGrad) {
      const constant = keep(tensor.alias());
      this.#constants.set(tensor, constant);
      return constant;
    }
    const leaf = keep(tensor.detach());
    leaf.requiresGrad = true;
    const source = { whole: keep(tensor.alias()), leaf };
    sources.push(source);
    this.#sources.set(tensor, source);
    return leaf;
  }

  /** How many runs add to the gradient of each parameter. */
  #uses(): Map<Tensor, number> {
    const uses = new Map<Tensor, number>();
    for (const block of [...this.#open, ...this.#runs.map((run) => run.block)])
      for (const parameter of block.parameters()) uses.set(parameter, (uses.get(parameter) ?? 0) + 1);
    return uses;
  }
}

/** Backward from those tensors that have a graph and a gradient. */
function through(tensors: readonly Tensor[], gradients: readonly (Tensor | undefined)[]): void {
  const pairs = tensors.flatMap((tensor, i) => {
    const gradient = gradients[i];
    return gradient && tensor.requiresGrad ? [[tensor, gradient] as const] : [];
  });
  backward(
    pairs.map(([tensor]) => tensor),
    pairs.map(([, gradient]) => gradient),
  );
}

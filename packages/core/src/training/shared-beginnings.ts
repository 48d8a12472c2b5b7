// What the inputs of a step have in common at their beginning (a soft prompt, a template's or a system message's
// tokens), read once a step in place of once a pass or once an example. For decoder-only models: no place sees what
// comes after it, so the beginning's keys and values are the same for all examples.
import { deriveSeed, type Tensor } from '@promot/torch';
import type { Block } from '../models/blocks.js';
import { Dropout } from '../models/dropout.js';
import type { ForwardOptions, LanguageModel, Prefix, TokenizedExample } from '../models/model.js';
import { type BlockHooks, BlockwisePass } from './blockwise.js';
import type { MicroBatch } from './micro-batch.js';
import type { TableGradient } from './table-gradient.js';

/** Tells the dropout of beginnings from that of passes, which are counted from 0. */
const beginningsSeed = 2 ** 31;

/**
 * Tokens alone are shared where so many places less are read in a step. A reading of its own goes once more through
 * all weights and their gradients, which takes about as long as reading 40 or 50 places (docs/benchmarks.md).
 */
const leastSaved = 64;

interface Shared {
  /** How many tokens of each input it holds. */
  readonly skip: number;
  readonly read: Prefix;
  readonly leaves: Prefix;
  readonly backward: () => void;
  readonly pass: BlockwisePass;
  /** Takes over what the backward pass left at the rows of the table. */
  readonly collect: () => void;
}

/** The beginnings that several examples of a step share. Holds tensors until `dispose`. */
export class SharedBeginnings {
  /** By prompt. */
  readonly #shared = new Map<Tensor | undefined, Shared>();
  #last: Shared | undefined;
  #ready: ((block: Block) => void) | undefined;

  /**
   * Reads, with gradient, the beginning of the examples of each prompt, where passes of `own` need it. What is shared
   * does not depend on which passes are this rank's. With dropout the prompt alone is shared: tokens have other masks
   * in each example.
   */
  constructor(
    model: LanguageModel,
    passes: readonly MicroBatch[],
    own: readonly MicroBatch[],
    {
      rate,
      seed,
      recompute = false,
      hooks,
      table,
    }: { rate: number; seed: number; recompute?: boolean; hooks?: BlockHooks; table?: TableGradient | undefined },
  ) {
    // An encoder's places see what comes after them.
    if (!model.readPrefix) return;
    const prompts = [...new Set(passes.map(({ prompt }) => prompt))];
    try {
      prompts.forEach((prompt, i) => {
        const behind = passes.filter((pass) => pass.prompt === prompt);
        const skip = tokensToShare(prompt, behind, rate);
        if (skip === undefined || !behind.some((pass) => own.includes(pass))) return;
        const masks = new Dropout(rate, deriveSeed(seed, beginningsSeed, i));
        const ids = behind[0]!.examples[0]!.input.slice(0, skip);
        const done = (block: Block, last: boolean) => {
          if (this.#last?.pass === pass && last) this.#ready?.(block);
        };
        const pass = new BlockwisePass(model, masks, { recompute, hooks: hooks ?? { done } });
        const work = () => pass.forward(() => model.readPrefix!(ids, prompt, masks));
        const { result: read, collect } = table ? table.watch(work) : { result: work(), collect: () => {} };
        if (read) this.#shared.set(prompt, { skip, read, pass, collect, ...read.detach() });
      });
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** What stands in front of a pass's inputs, and how many tokens of each input it holds. */
  inFrontOf({ prompt }: MicroBatch): { skip: number; attach: Pick<ForwardOptions, 'prompt' | 'prefix'> } {
    const shared = this.#shared.get(prompt);
    if (shared) return { skip: shared.skip, attach: { prefix: shared.leaves } };
    return { skip: 0, attach: prompt ? { prompt } : {} };
  }

  /** Whether `backward` adds to the block's gradients, too. */
  uses(block: Block): boolean {
    return [...this.#shared.values()].some(({ pass }) => pass.goesBackThrough(block));
  }

  /**
   * Carries on what the backward passes left at the beginnings' keys and values. Call once, after all passes. `ready`
   * hears of each block whose gradients are whole.
   */
  backward(ready?: (block: Block) => void): void {
    this.#ready = ready;
    this.#last = [...this.#shared.values()].at(-1);
    for (const { backward, pass, collect } of this.#shared.values()) {
      backward();
      pass.backward();
      collect();
    }
  }

  dispose(): void {
    for (const { read, leaves, pass, collect } of this.#shared.values()) {
      pass.dispose();
      collect();
      leaves.dispose();
      read.dispose();
    }
    this.#shared.clear();
  }
}

/** The example without the first `skip` tokens of its input. */
export function withoutBeginning(example: TokenizedExample, skip: number): TokenizedExample {
  const { input, answers } = example;
  return { ...example, input: input.slice(skip), ...(answers && { answers: answers.map((place) => place - skip) }) };
}

/** How many tokens behind the prompt are shared; undefined where not even the prompt is. */
function tokensToShare(prompt: Tensor | undefined, passes: readonly MicroBatch[], rate: number): number | undefined {
  const examples = passes.flatMap((pass) => pass.examples);
  // The first token behind an empty input is predicted at the prompt's last row.
  if (examples.some(({ input }) => input.length === 0)) return undefined;
  const tokens = rate > 0 ? 0 : commonTokens(examples);
  const saved = tokens * (examples.length - 1);
  if (prompt) return passes.length > 1 || saved > 0 ? tokens : undefined;
  return saved >= leastSaved ? tokens : undefined;
}

/**
 * How many tokens all inputs begin with. Places at which something is predicted do not count: the last of an input, and
 * that before an answer.
 */
function commonTokens(examples: readonly TokenizedExample[]): number {
  const [first] = examples;
  let common = Number.POSITIVE_INFINITY;
  for (const { input, answers = [] } of examples) {
    const most = Math.min(common, input.length - 1, ...answers.map((place) => place - 1));
    common = 0;
    while (common < most && input[common] === first!.input[common]) common++;
  }
  return common;
}

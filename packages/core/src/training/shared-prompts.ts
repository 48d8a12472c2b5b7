// The soft prompt of a decoder-only model, read once a step in place of once a pass: no place sees what comes after it,
// so that the prompt's keys and values are the same for every example of a batch.
import { deriveSeed, type Tensor } from '@promot/torch';
import type { Block } from '../models/blocks.js';
import { Dropout } from '../models/dropout.js';
import type { ForwardOptions, LanguageModel, Prefix } from '../models/model.js';
import { type BlockHooks, BlockwisePass } from './blockwise.js';
import type { MicroBatch } from './micro-batch.js';

/** Tells the dropout of prompts from that of passes, which are counted from 0. */
const promptsSeed = 2 ** 31;

interface Shared {
  readonly read: Prefix;
  readonly leaves: Prefix;
  readonly backward: () => void;
  readonly pass: BlockwisePass;
}

/** The prompts that several passes of a step have in common. Holds tensors until `dispose`. */
export class SharedPrompts {
  readonly #shared = new Map<Tensor, Shared>();
  #last: Tensor | undefined;
  #ready: ((block: Block) => void) | undefined;

  /**
   * Reads, with gradient, each prompt that stands in front of more than one pass of the step and of one of `own`. What
   * is shared does not depend on which passes are this rank's.
   */
  constructor(
    model: LanguageModel,
    passes: readonly MicroBatch[],
    own: readonly MicroBatch[],
    { rate, seed, recompute = false, hooks }: { rate: number; seed: number; recompute?: boolean; hooks?: BlockHooks },
  ) {
    const prompts = [...new Set(passes.flatMap(({ prompt }) => prompt ?? []))];
    try {
      prompts.forEach((prompt, i) => {
        const behind = passes.filter((pass) => pass.prompt === prompt);
        // The first token behind an empty input is predicted at the prompt's last row.
        const needsLastRow = behind.some(({ examples }) => examples.some(({ input }) => input.length === 0));
        if (behind.length < 2 || needsLastRow || !behind.some((pass) => own.includes(pass))) return;
        const masks = new Dropout(rate, deriveSeed(seed, promptsSeed, i));
        const done = (block: Block, last: boolean) => {
          if (this.#last === prompt && last) this.#ready?.(block);
        };
        const pass = new BlockwisePass(model, masks, { recompute, hooks: hooks ?? { done } });
        const read = pass.forward(() => model.readPrefix?.([], prompt, masks));
        if (read) this.#shared.set(prompt, { read, pass, ...read.detach() });
      });
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** What stands in front of a pass's inputs. */
  inFrontOf({ prompt }: MicroBatch): Pick<ForwardOptions, 'prompt' | 'prefix'> {
    const shared = prompt && this.#shared.get(prompt);
    return shared ? { prefix: shared.leaves } : prompt ? { prompt } : {};
  }

  /** Whether the block adds to its gradients in `backward`, too. */
  uses({ linears }: Block): boolean {
    return this.#shared.size > 0 && linears.length > 0;
  }

  /**
   * Carries on what the backward passes left at the prompts' keys and values. Call once, after all passes. `ready`
   * hears of each block whose gradients are whole.
   */
  backward(ready?: (block: Block) => void): void {
    this.#ready = ready;
    this.#last = [...this.#shared.keys()].at(-1);
    for (const { backward, pass } of this.#shared.values()) {
      backward();
      pass.backward();
    }
  }

  dispose(): void {
    for (const { read, leaves, pass } of this.#shared.values()) {
      pass.dispose();
      leaves.dispose();
      read.dispose();
    }
    this.#shared.clear();
  }
}

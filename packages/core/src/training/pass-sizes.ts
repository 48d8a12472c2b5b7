// How many examples the passes of a stage have: what the setting says, or as many as memory should allow (`auto`); and
// half from the step on where it did not. The run folder remembers it, so that a run that goes on makes the same
// passes.
import { distributed } from '@promot/torch';
import { type PassChange, readPasses, writePasses } from '../artifacts/passes-file.js';
import type { RunFolder } from '../artifacts/run-folder.js';
import { memoryNeeded } from './activation.js';
import { fromFirst } from './parallel.js';
import type { Phase } from './phases.js';
import type { RunSetup } from './setup.js';

export class PassSizes {
  private constructor(
    private readonly folder: RunFolder,
    private readonly stage: string,
    private readonly usual: number,
    /** Of all stages. */
    private changes: readonly PassChange[],
  ) {}

  /** @param tell hears of what `auto` chose */
  static async open(
    phase: Phase,
    { folder, setup }: { folder: RunFolder; setup: RunSetup },
    tell: (text: string) => void,
  ): Promise<PassSizes> {
    const { microBatchSize, batchSize } = setup.config;
    const changes = await fromFirst(() => readPasses(folder.path));
    const most = Math.ceil(batchSize / distributed.getWorldSize());
    const sizes = new PassSizes(folder, phase.key, microBatchSize === 'auto' ? most : microBatchSize, changes);
    if (microBatchSize === 'auto' && !changes.some(({ stage }) => stage === phase.key)) {
      const chosen = await fromFirst(() => largestThatFits(phase, setup, most));
      tell(`passes have at most ${chosen} examples (microBatchSize=auto)`);
      await sizes.#change(1, chosen);
    }
    return sizes;
  }

  /** Of a step's passes. */
  at(step: number): number {
    const own = this.changes.filter((one) => one.stage === this.stage && one.step <= step);
    return own.at(-1)?.examples ?? this.usual;
  }

  /** From this step on half; the new size, or undefined where a pass is one example already. */
  async halve(step: number): Promise<number | undefined> {
    const before = this.at(step);
    if (before <= 1) return undefined;
    const examples = Math.floor(before / 2);
    await this.#change(step, examples);
    return examples;
  }

  async #change(step: number, examples: number): Promise<void> {
    const others = this.changes.filter((one) => one.stage !== this.stage || one.step < step);
    this.changes = [...others, { stage: this.stage, step, examples }];
    if (this.folder.writes) await writePasses(this.folder.path, this.changes);
  }
}

/** Of a GPU's memory nothing is known: there the largest is tried, and halved where it is too large. */
function largestThatFits(phase: Phase, setup: RunSetup, most: number): number {
  if (setup.loaded.model.embedding.device !== 'cpu') return most;
  const free = process.availableMemory() / distributed.getLocalWorldSize();
  const checkpointing = setup.config.activationCheckpointing === 'on';
  let size = most;
  while (size > 1 && memoryNeeded(phase, setup, { checkpointing, passSize: size }) > free) size = Math.floor(size / 2);
  return size;
}

// Where a phase stands on disk: the checkpoint that it goes on from, the new ones, and which of the old ones stay.
import type { Optimizer, Parameters } from '@promot/torch';
import type { Candidate, RunFolder, StageState } from '../artifacts/run-folder.js';
import { bestOf, type KeepRule } from './keep.js';

/** Checkpoints between the kept ones, so that little is lost when the machine goes down. */
const minutesBetweenSaves = 10;
/** Kept checkpoints that stay on disk beside the best and the newest. */
const keepLast = 1;

export class Checkpointer {
  #state: StageState;
  #lastSave = performance.now();

  /** Goes on from the newest good checkpoint: `trained` and `optimizer` are put back to it. */
  constructor(
    private readonly folder: RunFolder,
    key: string,
    private readonly trained: Parameters,
    private readonly optimizer: Optimizer,
    private readonly rule: (state: StageState) => KeepRule | undefined,
  ) {
    this.#state = folder.newestState(key) ?? { stage: key, step: 0, candidates: [], seconds: 0 };
    if (this.#state.step > 0) folder.restore(this.#state, trained, optimizer);
  }

  get state(): StageState {
    return this.#state;
  }

  /** Whether checkpoints are there of which none can be read. */
  get lost(): boolean {
    return this.#state.step === 0 && this.folder.checkpointSteps(this.#state.stage).length > 0;
  }

  /** What step 0 was measured to be. Not saved: a run that is killed before its first checkpoint begins anew. */
  start(measured: NonNullable<StageState['start']>): void {
    this.#state = { ...this.#state, start: measured };
  }

  /** A step was taken. */
  advance(step: number, seconds: number): void {
    this.#state = { ...this.#state, step, seconds: this.#state.seconds + seconds };
  }

  /** Whether it is long since the last checkpoint was written. */
  get isOld(): boolean {
    return performance.now() - this.#lastSave > minutesBetweenSaves * 60_000;
  }

  async save(): Promise<void> {
    await this.folder.saveCheckpoint(this.#state, this.trained, this.optimizer.state());
    await this.#prune();
    this.#lastSave = performance.now();
  }

  /** Whether the checkpoint of the present step was evaluated. */
  get isCandidate(): boolean {
    return this.#state.candidates.some(({ step }) => step === this.#state.step);
  }

  /** The checkpoint of the present step, which is on disk, becomes a candidate for the best. */
  async addCandidate(candidate: Candidate): Promise<void> {
    this.#state = { ...this.#state, candidates: [...this.#state.candidates, candidate] };
    await this.folder.updateCheckpoint(this.#state);
    await this.#prune();
  }

  async #prune(): Promise<void> {
    const { candidates } = this.#state;
    const best = candidates.length > 0 ? bestOf(candidates, this.rule(this.#state)) : undefined;
    await this.folder.prune(this.#state, keepLast, best);
  }
}

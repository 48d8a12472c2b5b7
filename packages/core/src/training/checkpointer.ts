// Where a phase stands on disk: the checkpoint that it goes on from, the new ones, and which of the old ones stay.
import { type Optimizer, type Parameters, Tensor } from '@promot/torch';
import type { Needs } from '../artifacts/checkpoints.js';
import type { Rows } from '../artifacts/parts.js';
import type { Candidate, RunFolder, StageState } from '../artifacts/run-folder.js';
import type { Divided } from '../models/blocks.js';
import { type ChoiceRule, mayBeBest } from './choose.js';
import { copyFromFirst, fromFirst, isFirst, waitForWriter } from './parallel.js';
import type { Shards } from './shards.js';

/** Checkpoints between the kept ones, so that little is lost when the machine goes down. */
const minutesBetweenSaves = 10;
/** Kept checkpoints that stay on disk beside the best and the newest. */
const keepLast = 1;

export interface CheckpointRules {
  readonly rule: (state: StageState) => ChoiceRule;
  /** Whether the stage may go back to its last good checkpoint. */
  readonly goesBack: boolean;
}

/** What must be on disk for a stage to go on from a state. */
export function needsOf({ rule, goesBack }: CheckpointRules): (state: StageState) => Needs {
  return (state) => ({
    weights: mayBeBest(state.candidates, rule(state)).map(({ step }) => step),
    ...(goesBack && { whole: lastGood(state).step }),
  });
}

/** The last candidate at which the keep list did not warn, or the start. */
function lastGood({ candidates: all }: StageState): { step: number; candidates: readonly Candidate[] } {
  const good = all.findLastIndex(({ warns }) => !warns);
  const candidates = all.slice(0, good + 1);
  return { step: candidates.at(-1)?.step ?? 0, candidates };
}

/** What a checkpoint holds of what is trained and of the optimizer's state. */
function storedOf(trained: Parameters, optimizer: Optimizer, shards: Shards) {
  const state = optimizer.state();
  // Where the model is whole on all ranks, it is stored as it is.
  const moved = shards.part === 'all' ? shards.stored(shards.piecesOf(trained)) : trained;
  return [moved, shards.stored(state)] as const;
}

/** What this rank writes of them: its rows, and rank 0 what is not divided. */
function rowsOf(stored: ReadonlyMap<string, Tensor | Divided>): Map<string, Rows> {
  return new Map(
    [...stored].flatMap(([name, one]) => {
      if (one instanceof Tensor) return isFirst() ? [[name, { rows: one, begin: 0 }]] : [];
      return one.rows.numel > 0 ? [[name, one]] : [];
    }),
  );
}

/** Puts a checkpoint's tensors in place: each rank reads its rows. */
export function readDivided(
  folder: RunFolder,
  state: Pick<StageState, 'stage' | 'step'>,
  trained: ReadonlyMap<string, Tensor | Divided>,
  optimizer?: ReadonlyMap<string, Tensor | Divided>,
): void {
  folder.checkpoints.read(state, trained, optimizer, (stored, found) => {
    if (stored instanceof Tensor) stored.copy_(found.read());
    else stored.take(found.rows(stored.begin, stored.rows.shape[0]!));
  });
}

export class Checkpointer {
  #lastSave = performance.now();

  private constructor(
    private readonly folder: RunFolder,
    private readonly trained: Parameters,
    private readonly optimizer: Optimizer,
    private readonly rule: (state: StageState) => ChoiceRule,
    /** Whether the stage may go back to its last good checkpoint. */
    private readonly goesBack: boolean,
    private readonly shards: Shards | undefined,
    private stageState: StageState,
  ) {}

  /** Goes on from the newest good checkpoint: `trained` and `optimizer` are put back to it. Rank 0 reads it for all. */
  static async open(
    folder: RunFolder,
    key: string,
    trained: Parameters,
    optimizer: Optimizer,
    { rule, goesBack, shards, tell }: CheckpointRules & { shards?: Shards | undefined; tell: (text: string) => void },
  ): Promise<Checkpointer> {
    const state = await fromFirst(
      () =>
        folder.checkpoints.recover(key, needsOf({ rule, goesBack }), tell) ?? {
          stage: key,
          step: 0,
          candidates: [],
          seconds: 0,
        },
    );
    const checkpoints = new Checkpointer(folder, trained, optimizer, rule, goesBack, shards, state);
    if (state.step > 0) await checkpoints.#restore();
    return checkpoints;
  }

  get state(): StageState {
    return this.stageState;
  }

  /** What step 0 was measured to be. Not saved: a run that is killed before its first checkpoint begins anew. */
  start(measured: NonNullable<StageState['start']>): void {
    this.stageState = { ...this.stageState, start: measured };
  }

  /** A step was taken. */
  advance(step: number, seconds: number): void {
    this.stageState = { ...this.stageState, step, seconds: this.stageState.seconds + seconds };
  }

  /** Whether it is long since the last checkpoint was written. */
  get isOld(): boolean {
    return performance.now() - this.#lastSave > minutesBetweenSaves * 60_000;
  }

  async save(): Promise<void> {
    const { checkpoints } = this.folder;
    if (this.shards) {
      const [trained, optimizer] = storedOf(this.trained, this.optimizer, this.shards);
      await checkpoints.saveParts(this.stageState, rowsOf(trained), rowsOf(optimizer));
    } else checkpoints.save(this.stageState, this.trained, this.optimizer.state());
    await waitForWriter();
    await this.#prune();
    this.#lastSave = performance.now();
  }

  /** Whether the checkpoint of the present step was evaluated. */
  get isCandidate(): boolean {
    return this.stageState.candidates.some(({ step }) => step === this.stageState.step);
  }

  /** The checkpoint of the present step, which is on disk, becomes a candidate for the best. */
  async addCandidate(candidate: Candidate): Promise<void> {
    this.stageState = { ...this.stageState, candidates: [...this.stageState.candidates, candidate] };
    this.folder.checkpoints.update(this.stageState);
    await this.#prune();
  }

  /** Whether the keep list warned at the present step, which is a candidate. */
  get warns(): boolean {
    const last = this.stageState.candidates.at(-1);
    return last?.step === this.stageState.step && last.warns === true;
  }

  /**
   * Goes back to the last candidate at which the keep list did not warn, or to the start; the learning rate is lowered
   * once more.
   */
  async goBack(): Promise<void> {
    const { lowered = 0 } = this.stageState;
    this.stageState = { ...this.stageState, ...lastGood(this.stageState), lowered: lowered + 1 };
    this.folder.checkpoints.goBack(this.stageState);
    await this.#restore();
  }

  /** Puts what is trained to where the state says; rank 0 reads it for all where nothing is divided. */
  async #restore(): Promise<void> {
    this.optimizer.steps = this.stageState.step;
    if (this.shards) {
      const [trained, optimizer] = storedOf(this.trained, this.optimizer, this.shards);
      return readDivided(this.folder, this.stageState, trained, optimizer);
    }
    if (isFirst()) this.folder.checkpoints.restore(this.stageState, this.trained, this.optimizer);
    await copyFromFirst([...this.trained.values(), ...this.optimizer.state().values()]);
  }

  async #prune(): Promise<void> {
    const wanted = mayBeBest(this.stageState.candidates, this.rule(this.stageState));
    this.folder.checkpoints.prune(
      this.stageState,
      keepLast,
      wanted,
      this.goesBack ? lastGood(this.stageState).step : undefined,
    );
  }
}

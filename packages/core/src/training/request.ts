// What a training run is asked for, what it tells while it runs, and what it gives back.
import type { Tensor } from '@promot/torch';
import type { Candidate } from '../artifacts/run-folder.js';
import type { Observer } from '../base/events.js';
import type { ConfigInput } from '../methods/settings.js';
import type { LoadedModel } from '../models/load.js';
import type { Task } from '../tasks/task.js';

export type { KeepScore, MetricsLine, Place, WorkEvent } from '../base/events.js';

export interface TrainRequest {
  /** Model folder, GGUF file or run folder. */
  readonly model: string;
  /** Name of a built-in task or path of a YAML file; several are trained together. */
  readonly task: string | readonly string[];
  readonly method: string;
  /** The run folder, which must not hold anything yet (unless `resume`). */
  readonly out: string;
  /** Folder with the data of built-in tasks. */
  readonly data?: string;
  /** Tasks that are there already, by the names that the request and its settings call them by. */
  readonly loadedTasks?: ReadonlyMap<string, Task>;
  /** Settings other than the defaults. */
  readonly settings?: ConfigInput;
  /** Go on from the last good checkpoint in `out`; a run that has none starts at the beginning. */
  readonly resume?: boolean;
  /** Ends the run after the current step, with a checkpoint. */
  readonly signal?: AbortSignal;
  readonly onEvent?: Observer;
  /**
   * Called at step 0 of each stage, before any training, and at every kept checkpoint, after it was saved and
   * evaluated. What it returns becomes one line of metrics.jsonl, `{type: 'own', stage, step, ...returned}`, also over
   * a kill and a resume: where the run was killed before the line was safe, it is called again for that checkpoint.
   */
  readonly atCheckpoint?: (at: CheckpointMoment) => Promise<object | undefined>;
}

/** A moment of a run, with the model at that moment. Nothing of it may be changed, disposed, or used after the call. */
export interface CheckpointMoment {
  readonly stage: string;
  /** 0: before the stage's first step. */
  readonly step: number;
  /** With what training has attached to it (LoRA). No parameter holds a gradient. */
  readonly loaded: LoadedModel;
  /** The soft prompt [P, E] of the one task that this stage is about. */
  readonly prompt?: Tensor;
  /** In a run of several tasks, the one that this stage is about. */
  readonly task?: string;
  /** The soft prompts of all of this stage's tasks, by task. */
  readonly prompts: ReadonlyMap<string, Tensor>;
}

export interface TrainResult {
  readonly out: string;
  /** False where the signal ended the run early. */
  readonly finished: boolean;
  /** What the scores are: the task's metric; `mean` over the metrics of several tasks. */
  readonly metric: string;
  /** The best checkpoint of each finished stage. */
  readonly stages: readonly {
    readonly stage: string;
    readonly task?: string;
    readonly best: Candidate;
    readonly seconds: number;
  }[];
  /** Highest resident memory of the process, bytes. */
  readonly peakMemory: number;
}

// What an evaluation is asked and what it says, for one set of examples.
import type { Tensor } from '@promot/torch';
import type { Observer } from '../base/events.js';
import type { SamplingSettings } from '../generation/sampling.js';
import type { ChoiceScore, MetricResult } from '../metrics/metric.js';

export interface EvaluateOptions extends Readonly<SamplingSettings> {
  /** Soft prompt [P, E] in front of every input. */
  readonly prompt?: Tensor;
  /** Default 4, the paper's; where tokens are drawn 1. */
  readonly beams?: number;
  /** Most tokens of an answer; by default what the task needs. */
  readonly maxNewTokens?: number;
  /** Inputs in one batch; by default as many as fit a fixed amount of memory. */
  readonly batchSize?: number;
  /** See `generate`. */
  readonly lengthPenalty?: number;
  /** Longer inputs are cut; 0: never. */
  readonly maxInputLength?: number;
  /** Whether the inputs hold exemplars; see `stopStrings`. */
  readonly fewShot?: boolean;
  readonly signal?: AbortSignal;
  /** Hears of each answer (`evaluating`). */
  readonly onEvent?: Observer;
}

/** Tells an observer of each answer to a task. */
export function tellAnswers(task: string, onEvent: Observer | undefined): (done: number, total: number) => void {
  return (done, total) => onEvent?.({ type: 'evaluating', of: task, done, total });
}

/** One example with what the model said. */
export interface Sample {
  readonly input: string;
  /** As generated; with special tokens (sentinels) where the task reads them itself. */
  readonly output: string;
  /** What is compared with the references. */
  readonly trimmed: string;
  readonly references: readonly string[];
  /** By the first metric, 0 to 100. BLEU and chrF, which belong to a corpus: of this example alone. */
  readonly score: number;
  /** By each metric, where the task has several. */
  readonly scores?: readonly number[];
  /** Of a task with choices: how likely each is. */
  readonly choices?: readonly ChoiceScore[];
  /** The number of the right one, from 0. */
  readonly right?: number;
}

export interface Evaluation {
  readonly metric: string;
  /** 0 to 100. */
  readonly score: number;
  readonly n: number;
  readonly signature: string;
  /** Of the first metric: what a bootstrap needs. */
  readonly result: MetricResult;
  /** Of every metric, the first included. */
  readonly results: readonly MetricResult[];
  readonly samples: readonly Sample[];
}

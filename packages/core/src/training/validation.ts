// The evaluation at kept checkpoints: each task of a stage on its validation split, behind its own soft prompt.
import type { Tensor } from '@promot/torch';
import { UserError } from '../base/errors.js';
import type { Observer } from '../base/events.js';
import { evaluateExamples, targetLoss } from '../evaluation/evaluate-examples.js';
import type { Sample } from '../evaluation/evaluation.js';
import { bootstrapError } from '../metrics/bootstrap.js';
import type { LoadedModel } from '../models/load.js';
import type { Example, Task } from '../tasks/task.js';

/** A task and what it is validated on. */
export interface ValidatedTask {
  readonly task: Task;
  /** With exemplars in front, where the stage has some. */
  readonly validation: readonly Example[];
  /** Whether it has. */
  readonly fewShot: boolean;
  /** [P, E] */
  readonly prompt?: Tensor;
}

interface TaskValidation {
  readonly task: string;
  readonly metric: string;
  /** 0 to 100. */
  readonly score: number;
  /** One standard error of `score`, by bootstrap over the examples. */
  readonly scoreError: number;
  /** Mean negative log-likelihood of the targets, nats per token. */
  readonly evalLoss: number;
}

interface Validation {
  /** The task's metric; `mean` for several tasks. */
  readonly metric: string;
  /** Plain means over the tasks. */
  readonly score: number;
  readonly scoreError: number;
  readonly evalLoss: number;
  readonly tasks: readonly (TaskValidation & { readonly samples: readonly Sample[] })[];
}

interface ValidationOptions {
  readonly beams: number;
  readonly maxInputLength: number;
  readonly signal?: AbortSignal;
  readonly onEvent?: Observer;
}

export async function validate(
  loaded: LoadedModel,
  tasks: readonly ValidatedTask[],
  settings: ValidationOptions,
): Promise<Validation> {
  const results: Validation['tasks'][number][] = [];
  for (const { task, validation, prompt, fewShot } of tasks) {
    const options = { ...settings, prompt, fewShot };
    const { metric, score, result, samples } = await evaluateExamples(loaded, task, validation, options);
    const evalLoss = await targetLoss(loaded, validation, options);
    if (!Number.isFinite(evalLoss))
      throw new UserError(
        `task ${task.name}: the loss on its validation split is not finite; a smaller learning rate may help`,
      );
    results.push({ task: task.name, metric, score, scoreError: bootstrapError(result), evalLoss, samples });
  }
  const mean = (of: (one: TaskValidation) => number) => results.reduce((sum, one) => sum + of(one), 0) / results.length;
  return {
    metric: metricOf(tasks),
    score: mean((one) => one.score),
    // The tasks' errors are independent.
    scoreError: Math.sqrt(results.reduce((sum, one) => sum + one.scoreError ** 2, 0)) / results.length,
    evalLoss: mean((one) => one.evalLoss),
    tasks: results,
  };
}

/** What a score over these tasks is. */
export function metricOf(tasks: readonly { readonly task: Task }[]): string {
  return tasks.length === 1 ? tasks[0]!.task.metrics[0].name : 'mean';
}

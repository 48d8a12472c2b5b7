// What a checkpoint gained on the target task against what it kept elsewhere, and the checkpoints that no other beats on both
// (paper, A.3.2, Figures 5 and 6).
import { UserError } from '../errors.js';
import type { TaskResult } from '../evaluation/evaluate-task.js';

/** A place in a figure; more is better both across (x) and upward (y). */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/**
 * The Pareto front: the points that no other point beats, that is, equals or exceeds on both axes and exceeds on one. From left
 * to right, so downward; points in the same place stay together, in the order in which they were given. O(n log n).
 * Errors: a RangeError for a coordinate that is not finite.
 */
export function paretoFront<T extends Point>(points: readonly T[]): T[] {
  for (const { x, y } of points)
    if (!Number.isFinite(x) || !Number.isFinite(y)) throw new RangeError(`(${x}, ${y}) is no point of a front`);
  const fromRight = [...points].sort((a, b) => b.x - a.x || b.y - a.y);
  const front: T[] = [];
  for (const point of fromRight) {
    const last = front.at(-1);
    // Everything before is as far right or further: a point must rise above it, or lie on the newest of the front.
    if (!last || point.y > last.y || (point.x === last.x && point.y === last.y)) front.push(point);
  }
  // Turned around; a stable sort keeps the order of those in one place.
  return front.sort((a, b) => a.x - b.x);
}

/** The scores of one checkpoint (or finished model) on the target task and on others. */
export interface ScoredCheckpoint {
  readonly method: string;
  readonly step: number;
  readonly results: readonly Pick<TaskResult, 'task' | 'metric' | 'score'>[];
}

/** A checkpoint in a trade-off figure: x is its score on the target task, y the mean of a kind of other tasks, 0 to 100. */
export interface TradeOffPoint extends Point {
  readonly method: string;
  readonly step: number;
}

/** A scatter of all methods' checkpoints. */
export interface Scatter {
  /** The tasks whose mean goes upward. */
  readonly tasks: readonly string[];
  /** In the checkpoints' order; none where there is no such task. */
  readonly points: readonly TradeOffPoint[];
  /** Of all methods together, see `paretoFront`. */
  readonly front: readonly TradeOffPoint[];
}

/** Figures 5 and 6. The paper has no figure of question answering and summarisation. */
export interface TradeOff {
  /** Upward: mean accuracy on the classification tasks (Figure 5). */
  readonly classification: Scatter;
  /** Upward: mean BLEU on the other language pairs (Figure 6). */
  readonly translation: Scatter;
}

/**
 * The trade-off figures from the scores of checkpoints, all on the same tasks. `target` is the fine-tuning task: its score goes
 * across, and it has no part in the means.
 * Errors: a UserError where a checkpoint lacks the target or a task that the first one has, or has another besides: means of
 * different tasks cannot be compared.
 */
export function tradeOff(checkpoints: readonly ScoredCheckpoint[], target: string): TradeOff {
  const [first] = checkpoints;
  const expected = sortedNames(first?.results ?? []);
  for (const { method, step, results } of checkpoints) {
    const place = `trade-off: ${method} at step ${step}`;
    if (!results.some(({ task }) => task === target)) throw new UserError(`${place} has no score on ${target}`);
    const names = sortedNames(results);
    if (String(names) !== String(expected))
      throw new UserError(
        `${place} was evaluated on ${names.join(', ')}, but ${first!.method} at step ${first!.step} on ${expected.join(', ')}`,
      );
  }
  const scatter = (metric: string): Scatter => {
    const isUpward = (result: ScoredCheckpoint['results'][number]) =>
      result.task !== target && result.metric === metric;
    const tasks = first?.results.filter(isUpward).map(({ task }) => task) ?? [];
    const points = checkpoints.map(({ method, step, results }) => ({
      method,
      step,
      x: results.find(({ task }) => task === target)!.score,
      y: results.filter(isUpward).reduce((sum, { score }) => sum + score, 0) / tasks.length,
    }));
    return tasks.length === 0 ? { tasks, points: [], front: [] } : { tasks, points, front: paretoFront(points) };
  };
  return { classification: scatter('accuracy'), translation: scatter('bleu') };
}

function sortedNames(results: ScoredCheckpoint['results']): string[] {
  return results.map(({ task }) => task).sort();
}

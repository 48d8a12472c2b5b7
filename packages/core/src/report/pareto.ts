// What a checkpoint gained on the target task against what it kept elsewhere, and the checkpoints that no other beats
// on both (paper, A.3.2, Figures 5 and 6).

/** A place in a figure; more is better both across (x) and upward (y). */
export interface FrontPoint {
  readonly x: number;
  readonly y: number;
}

/**
 * The Pareto front: the points that no other point beats, that is, equals or exceeds on both axes and exceeds on one.
 * From left to right, so downward; points in the same place stay together, in the order in which they were given. O(n
 * log n). Errors: a RangeError for a coordinate that is not finite.
 */
export function paretoFront<T extends FrontPoint>(points: readonly T[]): T[] {
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

// The Pareto front against its definition on random points.
import { describe, expect, test } from 'vitest';
import { RandomStream } from '../base/random.js';
import { type FrontPoint, paretoFront } from './pareto.js';

/** Small whole coordinates, so that many points tie on an axis or fall together; each has a name. */
function randomPoints(seed: number): (FrontPoint & { name: number })[] {
  const random = new RandomStream(seed);
  return Array.from({ length: random.integer(30) }, (_, name) => ({
    x: random.integer(7),
    y: random.integer(7),
    name,
  }));
}
const beats = (a: FrontPoint, b: FrontPoint) => a.x >= b.x && a.y >= b.y && (a.x > b.x || a.y > b.y);

describe('the front', () => {
  test.each(Array.from({ length: 50 }, (_, seed) => seed))('is what no point beats, random points %d', (seed) => {
    const points = randomPoints(seed);
    const front = paretoFront(points);
    const unbeaten = points.filter((point) => !points.some((other) => beats(other, point)));
    // The definition, then the order: left to right, downward, and as given where they fall together.
    expect(front).toEqual(unbeaten.sort((a, b) => a.x - b.x || a.name - b.name));
    for (let i = 1; i < front.length; i++) expect(front[i]!.y).toBeLessThanOrEqual(front[i - 1]!.y);
    // Taken again it is the same, and whatever is not on it is beaten by something that is.
    expect(paretoFront(front)).toEqual(front);
    for (const point of points)
      if (!front.includes(point)) expect(front.some((other) => beats(other, point))).toBe(true);
  });

  test('does not depend on the order of the points, nor change it', () => {
    const points = randomPoints(60);
    const reversed = [...points].reverse();
    const copy = [...points];
    const places = (some: readonly FrontPoint[]) => some.map(({ x, y }) => [x, y]);
    expect(points.length).toBeGreaterThan(5);
    expect(places(paretoFront(points))).toEqual(places(paretoFront(reversed)));
    expect(points).toEqual(copy);
  });

  test('none, one, duplicates, a number that is none', () => {
    expect(paretoFront([])).toEqual([]);
    const one = { x: 1, y: 2 };
    expect(paretoFront([one])).toEqual([one]);
    expect(paretoFront([one, { x: 1, y: 1 }, { ...one }])).toEqual([one, one]);
    expect(() => paretoFront([one, { x: Number.NaN, y: 0 }])).toThrow(RangeError);
  });
});

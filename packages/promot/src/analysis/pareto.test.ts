// The Pareto front against its definition on random points, and the trade-off figures by hand.
import { describe, expect, test } from 'vitest';
import { RandomStream } from '../data/random.js';
import { type Point, paretoFront, type ScoredCheckpoint, tradeOff } from './pareto.js';

/** Small whole coordinates, so that many points tie on an axis or fall together; each has a name. */
function randomPoints(seed: number): (Point & { name: number })[] {
  const random = new RandomStream(seed);
  return Array.from({ length: random.integer(30) }, (_, name) => ({
    x: random.integer(7),
    y: random.integer(7),
    name,
  }));
}
const beats = (a: Point, b: Point) => a.x >= b.x && a.y >= b.y && (a.x > b.x || a.y > b.y);

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
    const places = (some: readonly Point[]) => some.map(({ x, y }) => [x, y]);
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

describe('the trade-off', () => {
  const checkpoint = (
    method: string,
    step: number,
    enfr: number,
    cb: number,
    wic: number,
    ende: number,
  ): ScoredCheckpoint => ({
    method,
    step,
    results: [
      { task: 'wmt14-en-fr', metric: 'bleu', score: enfr },
      { task: 'cb', metric: 'accuracy', score: cb },
      { task: 'wic', metric: 'accuracy', score: wic },
      { task: 'wmt16-en-de', metric: 'bleu', score: ende },
      { task: 'xsum', metric: 'rouge-2', score: 3 },
    ],
  });
  const checkpoints = [
    checkpoint('fine-tune', 100, 30, 20, 50, 1),
    checkpoint('fine-tune', 200, 41, 10, 50, 0.5),
    checkpoint('promot', 100, 32, 40, 50, 15),
  ];

  test('target across; mean accuracy, and mean BLEU of the other pairs, upward', () => {
    const { classification, translation } = tradeOff(checkpoints, 'wmt14-en-fr');
    expect(classification.tasks).toEqual(['cb', 'wic']);
    expect(classification.points).toEqual([
      { method: 'fine-tune', step: 100, x: 30, y: 35 },
      { method: 'fine-tune', step: 200, x: 41, y: 30 },
      { method: 'promot', step: 100, x: 32, y: 45 },
    ]);
    expect(classification.front).toEqual([classification.points[2], classification.points[1]]);
    expect(translation).toMatchObject({ tasks: ['wmt16-en-de'], points: [{ y: 1 }, { y: 0.5 }, { y: 15 }] });
    // With a classification task as the target it is left out of its own mean.
    expect(tradeOff(checkpoints, 'cb').classification.points[0]).toEqual({
      method: 'fine-tune',
      step: 100,
      x: 20,
      y: 50,
    });
  });

  test('no tasks of a kind, no checkpoints', () => {
    const bare = checkpoints.map(({ results, ...rest }) => ({ ...rest, results: results.slice(0, 3) }));
    expect(tradeOff(bare, 'wmt14-en-fr').translation).toEqual({ tasks: [], points: [], front: [] });
    expect(tradeOff([], 'cb').classification.points).toEqual([]);
  });

  test('checkpoints on different tasks are refused', () => {
    expect(() => tradeOff(checkpoints, 'rte')).toThrow('trade-off: fine-tune at step 100 has no score on rte');
    const { results, ...rest } = checkpoints[2]!;
    const less = { ...rest, results: results.slice(0, 4) };
    expect(() => tradeOff([checkpoints[0]!, less], 'cb')).toThrow(
      /promot at step 100 was evaluated on cb, wic, .* but fine-tune/u,
    );
  });
});

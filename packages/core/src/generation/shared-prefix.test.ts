// Which beginning is shared. That outputs do not change: generate.test.ts, score.test.ts.
import { expect, test } from 'vitest';
import { longestSharing } from './shared-prefix.js';

const run = (length: number, start: number) => Array.from({ length }, (_, i) => start + i);

test('the beginning that saves most is taken, and every sharer goes on behind it', () => {
  const common = run(20, 100);
  const inputs = [[...common, 1], [7, ...common, 2], [...common, 3, 4], common, [...common, 3, 4]];
  // Input 3 has nothing behind all 20; four sharers of 19 leave more unread than three of 20.
  expect(longestSharing(inputs, 0)).toEqual({ length: 19, sharers: new Set([0, 2, 3, 4]) });
  expect(longestSharing([[...common, 1], common], 0)).toEqual({ length: 19, sharers: new Set([0, 1]) });
});

test('a prompt is shared by all inputs; little is not worth it', () => {
  expect(longestSharing([[1], [2], [3]], 30)).toEqual({ length: 0, sharers: new Set([0, 1, 2]) });
  expect(longestSharing([[1], [], [3]], 30)).toEqual({ length: 0, sharers: new Set([0, 2]) });
  for (const inputs of [[run(15, 0), run(15, 0)], [run(40, 0)], []])
    expect(longestSharing(inputs, 0).sharers.size).toBe(0);
});

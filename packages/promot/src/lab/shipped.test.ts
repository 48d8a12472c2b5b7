// The shipped lab model gives the scores that were recorded with it (lab/record.mjs).
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { evaluateTask } from '../evaluation/evaluate-task.js';
import { openModel } from '../runs/open.js';
import { loadTask } from '../tasks/registry.js';

interface Recorded {
  task: string;
  shots: number;
  score: number;
  n: number;
}
const recorded = JSON.parse(readFileSync(new URL('../../lab/scores.json', import.meta.url), 'utf8')) as Recorded[];

describe('the shipped lab model', async () => {
  const loaded = await openModel('lab', 'float32');
  // Two of them: the rest would take a minute.
  const some = recorded.filter(({ task, shots }) => shots === 0 && ['lab-reading', 'lab-closed-book'].includes(task));
  test.each(some)('$task, $shots-shot', async ({ task, shots, score, n }) => {
    const result = await evaluateTask(loaded, await loadTask(task), { shots, beams: 1, limit: n });
    expect(result.n).toBe(n);
    // Another processor may decide a near tie otherwise.
    expect(Math.abs(result.score - score)).toBeLessThanOrEqual(2);
  });
});

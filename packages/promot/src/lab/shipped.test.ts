// The shipped lab model gives the scores that were recorded with it (lab/record.mjs).
import { readFileSync } from 'node:fs';
import { evaluateLoaded } from '@promot/core/evaluation';
import { openModel } from '@promot/core/open';
import { loadTask } from '@promot/core/tasks';
import './register.js';
import { describe, expect, test } from 'vitest';

interface Recorded {
  model: string;
  task: string;
  shots: number;
  score: number;
  n: number;
}
const recorded = JSON.parse(readFileSync(new URL('../../lab/scores.json', import.meta.url), 'utf8')) as Recorded[];

describe.each([...new Set(recorded.map(({ model }) => model))])('the shipped model %s', async (model) => {
  const loaded = await openModel(model, 'float32');
  // Two of them: the rest would take a minute.
  const some = recorded.filter(
    ({ model: of, task, shots }) => of === model && shots === 0 && ['lab-reading', 'lab-closed-book'].includes(task),
  );
  test.each(some)('$task, $shots-shot', async ({ task, shots, score, n }) => {
    const result = await evaluateLoaded(loaded, await loadTask(task), { shots, beams: 1, limit: n });
    expect(result.n).toBe(n);
    // Another processor may decide a near tie otherwise.
    expect(Math.abs(result.score - score)).toBeLessThanOrEqual(2);
  });
});

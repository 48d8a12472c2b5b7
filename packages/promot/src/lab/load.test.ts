import { expect, test } from 'vitest';
import { loadLabTask } from './load.js';
import { LAB_TASKS, type LabTaskName } from './tasks.js';

test.each(Object.keys(LAB_TASKS) as LabTaskName[])(
  '%s loads as a task whose own targets survive post-processing',
  async (name) => {
    const task = loadLabTask(name);
    expect(task.evaluationSplit).toBe('test');
    const examples = await task.load('validation');
    expect(examples).toHaveLength(256);
    for (const { target, references } of examples) {
      expect(references).toEqual([target]);
      expect(task.postprocess!(` ${target}`)).toBe(target);
    }
  },
);

test('training splits have their fixed sizes', async () => {
  expect(await loadLabTask('lab-rte').load('train')).toHaveLength(10_000);
  expect(await loadLabTask('lab-reading').load('train')).toHaveLength(2000);
});

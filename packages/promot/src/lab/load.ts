// The lab's tasks behind the interface of every task: their generators stand in for data files.

import type { RecordSource, Split } from '@promot/core/data';
import { createTask, paperOutput, type Task } from '@promot/core/tasks';
import { LAB_TASKS, type LabTask, type LabTaskName } from './tasks.js';

/** Changes whenever an example of any lab task does. */
export const VERSION = '1';

/**
 * A lab task, to train and evaluate like any other; it needs no data folder. Scores are reported on the test split.
 *
 * @example
 * const examples = await loadLabTask('lab-rte').load('validation');
 */
export function loadLabTask(name: LabTaskName): Task {
  const task: LabTask = LAB_TASKS[name];
  return createTask(
    {
      name,
      version: VERSION,
      ...(task.labels === undefined ? {} : { labels: task.labels }),
      metric: task.metric,
      ...paperOutput,
      evaluationSplits: ['test'],
      input: (record) => record.input as string,
      target: (record) => record.target as string,
    },
    generatedSource(name, task),
  );
}

/** What was generated, by task and split: it is the same every time, and takes a second or two. */
const generated = new Map<string, readonly { readonly input: string; readonly target: string }[]>();

function recordsOf(name: string, task: LabTask, split: Split) {
  const key = `${name} ${split}`;
  const there = generated.get(key);
  if (there) return there;
  const records = Array.from({ length: task.sizes[split] }, (_, index) => ({ ...task.example(split, index) }));
  generated.set(key, records);
  return records;
}

function generatedSource(name: string, task: LabTask): RecordSource {
  return {
    description: `generator of ${name}`,
    splits: ['train', 'validation', 'test'],
    read: async (split) => ({
      records: recordsOf(name, task, split),
      location: (index) => `${name} ${split} example ${index + 1}`,
    }),
  };
}

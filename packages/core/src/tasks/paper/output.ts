// How the paper's tasks read a model's output (paper, A.2.2). A user's own tasks read it as it stands.

import type { TaskDefinition } from '../task.js';

/** Prefixes at which a few-shot model has begun a new example of its own. */
const taskPrefixes = /Q:|Translate|Article:/u;

/**
 * The text between `<extra_id_0>` and `<extra_id_1>` where the output speaks in sentinels (an output that ends before
 * `<extra_id_1>` counts to its end), other sentinels removed, cut at the first task prefix in it, white space trimmed.
 * `output` must be decoded with its sentinels, without padding, and end before the end-of-sequence token.
 */
export function trimOutput(output: string): string {
  const afterFirst = output.split('<extra_id_0>', 2)[1] ?? output;
  const between = afterFirst.split('<extra_id_1>', 1)[0]!;
  const text = between.replace(/<extra_id_\d+>/gu, '');
  return text.split(taskPrefixes, 1)[0]!.trim();
}

/** What the paper's tasks have in common: the trim, and no string that ends an output. */
export const paperOutput = { postprocess: trimOutput, stop: [] } as const satisfies Partial<TaskDefinition>;

/** The paper's classification: the first word of an output is its label. */
export const paperClassification = {
  ...paperOutput,
  metric: { name: 'accuracy', read: 'first-word' },
} as const satisfies Partial<TaskDefinition>;

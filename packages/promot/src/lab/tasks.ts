// The lab's tasks by name: how to make each example, how it is scored, and what part it plays.

import type { MetricChoice } from '@promot/core/metrics';
import { paperClassification } from '@promot/core/tasks';
import { closedBookExample } from './closed-book.js';
import { cbExample, rteExample, snliExample } from './entailment.js';
import { multipleChoiceExample } from './multiple-choice.js';
import { readingExample } from './reading.js';
import { type LabExample, type LabSplit, SPLIT_SIZES, type SplitSizes, TARGET_SIZES } from './splits.js';
import { summaryExample } from './summary.js';
import { translationExample } from './translation.js';
import { wordInContextExample } from './word-in-context.js';

/**
 * What a task is for.
 * - `pretrained`: the lab's models have seen its `pretrain` split, and its other splits hold new inputs.
 * - `target`: to fine-tune on; pretraining never sees the task.
 * - `evaluation`: to evaluate on only; pretraining never sees the task.
 */
type LabRole = 'pretrained' | 'target' | 'evaluation';

export interface LabTask {
  readonly role: LabRole;
  readonly metric: MetricChoice;
  /** The answers, where they are a closed set. */
  readonly labels: readonly string[] | undefined;
  readonly sizes: SplitSizes;
  /** Most tokens of an answer, end of sequence included. */
  readonly maxTargetTokens: number;
  /**
   * The example at an index of a split: a pure function of the two. `index` counts from 0 and stays below
   * `sizes[split]`; `pretrain`, which only pretrained tasks have, has no end. Errors: a RangeError outside of that.
   */
  readonly example: (split: LabSplit, index: number) => LabExample;
}

function task(
  role: LabRole,
  metric: MetricChoice,
  maxTargetTokens: number,
  example: LabTask['example'],
  labels?: readonly string[],
): LabTask {
  const sizes = role === 'target' ? TARGET_SIZES : SPLIT_SIZES;
  return {
    role,
    metric,
    labels,
    sizes,
    maxTargetTokens,
    example: (split, index) => {
      const size = split !== 'pretrain' ? sizes[split] : role === 'pretrained' ? Number.MAX_SAFE_INTEGER : 0;
      if (!Number.isInteger(index) || index < 0 || index >= size) {
        throw new RangeError(`no example ${index} in the split ${split} of a task that is ${role}`);
      }
      return example(split, index);
    },
  };
}

const translation = (role: LabRole, ...languages: Parameters<typeof translationExample>): LabTask =>
  task(role, { name: 'bleu', tokenize: 'intl' }, 16, translationExample(...languages));

const classification = (role: LabRole, example: LabTask['example'], labels: readonly string[]): LabTask =>
  task(role, paperClassification.metric, 4, example, labels);

const TWO_WAY = ['True', 'False'];
const THREE_WAY = ['True', 'False', 'Neither'];

/** Every task of the lab. `lab-translation` is from Enlan to Delan; `lab-enfr` from Enlan to Frelan. */
export const LAB_TASKS = {
  'lab-reading': task('pretrained', 'exact-match', 4, readingExample),
  'lab-closed-book': task('pretrained', 'exact-match', 4, closedBookExample),
  'lab-translation': translation('pretrained', 'en', 'de'),
  'lab-translation-enro': translation('pretrained', 'en', 'ro'),
  'lab-translation-deen': translation('pretrained', 'de', 'en'),
  'lab-translation-defr': translation('pretrained', 'de', 'fr'),
  'lab-translation-frro': translation('pretrained', 'fr', 'ro'),
  'lab-translation-roen': translation('pretrained', 'ro', 'en'),
  'lab-summary': task('pretrained', 'rouge-2', 12, summaryExample),
  'lab-rte': classification('target', rteExample, TWO_WAY),
  'lab-enfr': translation('target', 'en', 'fr'),
  'lab-snli': classification('target', snliExample, THREE_WAY),
  'lab-openbookqa': classification('target', multipleChoiceExample, ['A', 'B', 'C', 'D']),
  'lab-cb': classification('evaluation', cbExample, THREE_WAY),
  'lab-wic': classification('evaluation', wordInContextExample, TWO_WAY),
} as const satisfies Record<string, LabTask>;

export type LabTaskName = keyof typeof LAB_TASKS;

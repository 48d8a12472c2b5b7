// SciQ: science questions with a supporting text and four choices.
import { choiceTask } from '../choice-task.js';
import { choicesBehind } from '../choices.js';
import { text } from '../fields.js';

export const sciq = choiceTask(
  {
    name: 'sciq',
    version: '1',
    metric: ['acc_norm', 'acc'],
    evaluationSplits: ['test'],
    hub: { name: 'allenai/sciq' },
  },
  (record) =>
    choicesBehind(
      `${text(record, 'support').trimStart()}\nQuestion: ${text(record, 'question')}\nAnswer:`,
      ['distractor1', 'distractor2', 'distractor3', 'correct_answer'].map((field) => text(record, field)),
      3,
    ),
);

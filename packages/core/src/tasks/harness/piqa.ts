// PIQA: which of two ways reaches a goal.
import { choiceTask } from '../choice-task.js';
import { choicesBehind } from '../choices.js';
import { answerOf, text } from '../fields.js';

export const piqa = choiceTask(
  {
    name: 'piqa',
    version: '1',
    metric: ['acc_norm', 'acc'],
    evaluationSplits: ['validation'],
    hub: { name: 'baber/piqa', splits: ['train', 'validation'] },
  },
  (record) =>
    choicesBehind(
      `Question: ${text(record, 'goal')}\nAnswer:`,
      [text(record, 'sol1'), text(record, 'sol2')],
      Number(answerOf(record, 'label', { sol1: '0', sol2: '1' })),
    ),
);

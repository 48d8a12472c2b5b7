// COPA: which of two sentences is the cause or the effect of a third.
import { choiceTask } from '../choice-task.js';
import { choicesBehind } from '../choices.js';
import { answerOf, text } from '../fields.js';

const connectors = { cause: 'because', effect: 'therefore' };
const lowerFirst = (sentence: string): string => `${sentence.slice(0, 1).toLowerCase()}${sentence.slice(1)}`;

export const copa = choiceTask(
  {
    name: 'copa',
    version: '1',
    metric: ['acc'],
    evaluationSplits: ['validation'],
    hub: { name: 'aps/super_glue', config: 'copa', splits: ['train', 'validation'] },
  },
  (record) => {
    const connector = answerOf(record, 'question', connectors);
    const right = Number(answerOf(record, 'label', { choice1: '0', choice2: '1' }));
    // The harness drops the last character, a period, and has two spaces in front of a choice.
    const context = `${text(record, 'premise').trim().slice(0, -1)} ${connector}`;
    const choices = [text(record, 'choice1'), text(record, 'choice2')];
    return choicesBehind(
      context,
      choices.map((choice) => ` ${lowerFirst(choice)}`),
      right,
    );
  },
);

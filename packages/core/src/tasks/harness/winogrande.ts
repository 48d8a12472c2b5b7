// WinoGrande: who or what a gap in a sentence stands for. The choices fill the gap; the rest of the sentence is scored.
import { UserError } from '../../base/errors.js';
import { choiceTask } from '../choice-task.js';
import { rightOf } from '../choices.js';
import { text } from '../fields.js';

export const winogrande = choiceTask(
  {
    name: 'winogrande',
    version: '1',
    metric: ['acc'],
    evaluationSplits: ['validation'],
    hub: { name: 'allenai/winogrande', config: 'winogrande_xl', splits: ['train', 'validation'] },
  },
  (record) => {
    const sentence = text(record, 'sentence');
    const gap = sentence.indexOf('_');
    if (gap === -1) throw new UserError('field "sentence" has no gap "_"');
    const continuation = ` ${sentence.slice(gap + 1).trim()}`;
    return {
      choices: ['option1', 'option2'].map((option) => ({
        context: sentence.slice(0, gap) + text(record, option),
        continuation,
        text: text(record, option),
      })),
      right: rightOf(text(record, 'answer'), ['1', '2']),
    };
  },
);

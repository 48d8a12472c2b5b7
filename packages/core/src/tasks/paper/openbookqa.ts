// OpenBookQA, main: four choices, no book.

import { UserError } from '../../base/errors.js';
import type { DataRecord } from '../../data/records.js';
import { object, text, texts } from '../fields.js';
import type { TaskDefinition } from '../task.js';
import { paperClassification } from './output.js';

const letters = ['A', 'B', 'C', 'D'] as const;

function choices(record: DataRecord): string {
  const { text: options, label } = {
    text: texts(object(record, 'choices'), 'text'),
    label: texts(object(record, 'choices'), 'label'),
  };
  return letters
    .map((letter) => {
      const option = options[label.indexOf(letter)];
      if (option === undefined) throw new UserError(`choice ${letter} is missing`);
      return `${letter}) ${option}`;
    })
    .join(' ');
}

export const openbookqa: TaskDefinition = {
  name: 'openbookqa',
  version: '1',
  labels: letters,
  ...paperClassification,
  evaluationSplits: ['test'],
  hub: { name: 'allenai/openbookqa', config: 'main' },
  input: (record) => `Q: ${text(record, 'question_stem')} ${choices(record)} A:`,
  target: (record) => text(record, 'answerKey'),
};

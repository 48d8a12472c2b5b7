// Word in Context (SuperGLUE).

import { answerOf, text } from '../fields.js';
import type { TaskDefinition } from '../task.js';
import { paperClassification } from './output.js';

export const wic: TaskDefinition = {
  name: 'wic',
  version: '1',
  labels: ['True', 'False'],
  ...paperClassification,
  evaluationSplits: ['validation'],
  hub: { name: 'aps/super_glue', config: 'wic', splits: ['train', 'validation'] },
  paperSizes: { train: 5428, validation: 638 },
  // "true or False" is the paper's spelling.
  input: (record) =>
    `${text(record, 'sentence1')} ${text(record, 'sentence2')} question: The word ${text(record, 'word')} is used in ` +
    'the same way in the two sentences. Is it true or False? answer:',
  target: (record) => answerOf(record, 'label', { false: 'False', true: 'True' }),
};

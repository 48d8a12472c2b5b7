// Recognizing Textual Entailment (SuperGLUE).

import { answerOf, text } from '../fields.js';
import type { TaskDefinition } from '../task.js';
import { paperClassification } from './output.js';

export const rte: TaskDefinition = {
  name: 'rte',
  version: '1',
  labels: ['True', 'False'],
  ...paperClassification,
  evaluationSplits: ['validation'], // SuperGLUE's test labels are not public
  hub: { name: 'aps/super_glue', config: 'rte', splits: ['train', 'validation'] },
  paperSizes: { train: 2490, validation: 277 },
  input: (record) => `${text(record, 'premise')} question: ${text(record, 'hypothesis')} Is it true or false? answer:`,
  target: (record) => answerOf(record, 'label', { entailment: 'True', not_entailment: 'False' }),
};

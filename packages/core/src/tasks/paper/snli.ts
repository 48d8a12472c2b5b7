// Stanford Natural Language Inference.

import { answerOf } from '../fields.js';
import type { TaskDefinition } from '../task.js';
import { threeWayInput } from './families.js';
import { paperClassification } from './output.js';

export const snli: TaskDefinition = {
  name: 'snli',
  version: '1',
  labels: ['True', 'False', 'Neither'],
  ...paperClassification,
  evaluationSplits: ['test'],
  hub: { name: 'stanfordnlp/snli', config: 'plain_text' },
  keep: (record) => record.label !== -1 && record.label !== '-', // the annotators did not agree
  input: threeWayInput,
  target: (record) => answerOf(record, 'label', { entailment: 'True', neutral: 'Neither', contradiction: 'False' }),
};

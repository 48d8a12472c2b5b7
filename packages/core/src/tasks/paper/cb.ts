// CommitmentBank (SuperGLUE).

import { answerOf } from '../fields.js';
import type { TaskDefinition } from '../task.js';
import { threeWayInput } from './families.js';
import { paperClassification } from './output.js';

export const cb: TaskDefinition = {
  name: 'cb',
  version: '1',
  labels: ['True', 'False', 'Neither'],
  ...paperClassification,
  evaluationSplits: ['validation'],
  hub: { name: 'aps/super_glue', config: 'cb', splits: ['train', 'validation'] },
  paperSizes: { train: 250, validation: 56 },
  input: threeWayInput,
  target: (record) => answerOf(record, 'label', { entailment: 'True', contradiction: 'False', neutral: 'Neither' }),
};

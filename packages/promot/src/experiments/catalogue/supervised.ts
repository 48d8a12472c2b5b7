// Section 5.2, first table: scores on the tasks that were fine-tuned on, 0-shot.
import { competitors } from '../contenders.js';
import type { TableExperiment } from '../experiment.js';

export const supervised: TableExperiment = {
  kind: 'table',
  name: 'supervised',
  place: 'section 5.2, the table of supervised performance',
  shows: 'scores on four fine-tuned tasks, 0-shot: ProMoT keeps up with standard fine-tuning',
  base: 'mt5-xxl',
  targets: ['rte', 'wmt14-en-fr', 'snli', 'openbookqa'],
  shots: [],
  rows: [
    { contender: 'prompt-tune', paper: { targets: [91.34, 39.28, 88.53, 73.6] } },
    { contender: 'fine-tune', paper: { targets: [92.06, 41.8, 88.91, 77.2] } },
    { contender: 'promot', paper: { targets: [92.78, 41.3, 89.62, 81.6] } },
    ...competitors,
  ],
  notes: ['What these models have lost elsewhere stands in rte, enfr and table-7.'],
};

// Table 3: ablations. Neither more parameters, nor a prompt that learned nothing, nor a natural-language prompt does
// it.
import type { TableExperiment } from '../experiment.js';

export const table3: TableExperiment = {
  kind: 'table',
  name: 'table-3',
  place: 'Table 3, section 5.5',
  shows: 'ablations on RTE: joint training, a 1-shot prompt, and a random prompt forget; ProMoT + 1-shot does not',
  base: 'mt5-xxl',
  targets: ['rte'],
  shots: [1],
  rows: [
    // Not in the paper's table; differences are to it.
    { contender: 'pretrained' },
    {
      contender: 'joint',
      paper: { targets: [90.97], unseen: { 1: [null, 83.93, 50.47, 0.75, 0.64, 0.0, 0.0, 0.0, 0.0] } },
    },
    {
      contender: 'fine-tune+1-shot',
      paper: { targets: [90.97], unseen: { 1: [null, 78.57, 51.41, 0.03, 0.0, 0.0, 0.0, 0.0, 0.0] } },
    },
    {
      contender: 'random-prompt',
      paper: { targets: [92.06], unseen: { 1: [null, 83.93, 51.72, 0.83, 0.3, 0.0, 0.0, 0.0, 0.0] } },
    },
    {
      contender: 'promot+1-shot',
      paper: { targets: [93.86], unseen: { 1: [null, 83.93, 51.25, 17.82, 10.14, 2.26, 0.87, 6.94, 4.87] } },
    },
    // What the ablations take apart; the paper has them in its section 5.3.
    { contender: 'fine-tune' },
    { contender: 'promot' },
  ],
};

// Table 8: a base that was pretrained on English, T5.1.1 XXL.
import type { TableExperiment } from '../experiment.js';

export const table8: TableExperiment = {
  kind: 'table',
  name: 'table-8',
  place: 'Table 8, appendix A.3.3',
  shows: 'another base, T5.1.1-XXL, fine-tuned on RTE: the target and eight unseen tasks, 1-shot',
  base: 't5.1.1-xxl',
  targets: ['rte'],
  shots: [1],
  rows: [
    {
      contender: 'pretrained',
      paper: { targets: [null], unseen: { 1: [19.75, 55.36, 49.84, 34.15, 16.04, 0.13, 0.06, 1.26, 1.12] } },
    },
    {
      contender: 'prompt-tune',
      paper: { targets: [91.7], unseen: { 1: [19.75, 55.36, 49.84, 34.15, 16.04, 0.13, 0.06, 1.26, 1.12] } },
    },
    {
      contender: 'fine-tune',
      paper: { targets: [93.5], unseen: { 1: [14.07, 62.5, 50.0, 0.02, 0.0, 0.0, 0.0, 0.0, 0.0] } },
    },
    {
      contender: 'promot',
      paper: { targets: [93.14], unseen: { 1: [22.23, 73.21, 50.78, 33.86, 15.95, 0.02, 0.01, 1.79, 2.25] } },
    },
  ],
};

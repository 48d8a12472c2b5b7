// Section 5.3, the table of RTE: what is left of eight unseen tasks, 1-shot and 4-shot.
import { competitors } from '../contenders.js';
import type { TableExperiment } from '../experiment.js';

export const rteTable: TableExperiment = {
  kind: 'table',
  name: 'rte',
  place: 'section 5.3, the table of RTE (labelled 5.2)',
  shows: 'fine-tuned on RTE: the target and eight unseen tasks, 1-shot and 4-shot',
  base: 'mt5-xxl',
  targets: ['rte'],
  shots: [1, 4],
  rows: [
    {
      contender: 'pretrained',
      paper: {
        targets: [47.65],
        unseen: {
          1: [17.52, 46.43, 49.69, 17.58, 9.7, 3.97, 1.82, 6.41, 4.59],
          4: [18.75, 51.79, 49.69, 19.02, 13.04, 8.83, 3.92, 2.35, 1.33],
        },
      },
    },
    { contender: 'prompt-tune' },
    {
      contender: 'fine-tune',
      paper: {
        targets: [92.06],
        unseen: {
          1: [15.43, 73.21, 50.0, 0.15, 0.05, 0.0, 0.0, 0.0, 0.0],
          4: [16.56, 82.14, 50.16, 0.11, 0.05, 0.0, 0.0, 0.0, 0.0],
        },
      },
    },
    {
      contender: 'promot',
      paper: {
        targets: [92.78],
        unseen: {
          1: [20.1, 66.07, 51.41, 17.64, 11.07, 2.02, 0.7, 7.02, 4.84],
          4: [21.24, 67.86, 53.61, 18.66, 13.19, 3.69, 0.96, 7.01, 4.9],
        },
      },
    },
    {
      contender: 'promot+1-shot',
      paper: {
        targets: [93.86],
        unseen: {
          1: [22.26, 83.93, 51.25, 17.82, 10.14, 2.26, 0.87, 6.94, 4.87],
          4: [22.33, 82.14, 50.63, 19.62, 12.11, 4.89, 1.87, 3.93, 3.43],
        },
      },
    },
    ...competitors,
  ],
};

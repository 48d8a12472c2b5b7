// Section 5.3, the table of WMT14 En-Fr: what is left of eight unseen tasks, 1-shot and 4-shot.
import { competitors } from '../contenders.js';
import type { TableExperiment } from '../experiment.js';

export const enfr: TableExperiment = {
  kind: 'table',
  name: 'enfr',
  place: 'section 5.3, the table of WMT14 En-Fr (labelled 5.3)',
  shows: 'fine-tuned on WMT14 En-Fr: the target and eight unseen tasks, 1-shot and 4-shot',
  base: 'mt5-xxl',
  targets: ['wmt14-en-fr'],
  shots: [1, 4],
  rows: [
    {
      contender: 'pretrained',
      paper: {
        targets: [1.98],
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
        targets: [41.8],
        unseen: {
          1: [9.15, 16.07, 50.63, 3.2, 0.89, 0.81, 1.53, 0.05, 0.03],
          4: [11.67, 32.14, 49.06, 3.15, 6.15, 0.18, 0.42, 1.86, 0.43],
        },
      },
    },
    {
      contender: 'promot',
      paper: {
        targets: [41.3],
        unseen: {
          1: [18.87, 41.07, 50.16, 13.63, 9.4, 15.52, 18.54, 1.49, 1.14],
          4: [20.64, 57.14, 50.31, 15.2, 7.92, 15.55, 17.8, 0.65, 0.52],
        },
      },
    },
    {
      contender: 'promot+1-shot',
      paper: {
        targets: [41.19],
        unseen: {
          1: [19.91, 41.07, 49.84, 16.93, 10.14, 16.14, 17.57, 3.41, 4.22],
          4: [21.99, 53.57, 50.63, 18.19, 12.01, 15.63, 16.81, 4.36, 4.73],
        },
      },
    },
    ...competitors,
  ],
  notes: [
    "The paper's Table 11 prints other numbers for standard fine-tuning on the same task; both stand as printed.",
  ],
};

// Table 7: two more targets, SNLI and OpenbookQA.
import type { TableExperiment } from '../experiment.js';

export const table7: TableExperiment = {
  kind: 'table',
  name: 'table-7',
  place: 'Table 7, appendix A.3.1',
  shows: 'fine-tuned on SNLI, and on OpenbookQA: the targets and eight unseen tasks, 1-shot',
  base: 'mt5-xxl',
  targets: ['snli', 'openbookqa'],
  shots: [1],
  rows: [
    {
      contender: 'pretrained',
      paper: { targets: [1.32, 0.0], unseen: { 1: [17.52, 46.43, 49.69, 17.58, 9.7, 3.97, 1.82, 6.41, 4.59] } },
    },
    {
      contender: 'prompt-tune',
      paper: { targets: [88.53, 73.6], unseen: { 1: [17.52, 46.43, 49.69, 17.58, 9.7, 3.97, 1.82, 6.41, 4.59] } },
    },
    {
      contender: 'fine-tune',
      targets: ['snli'],
      paper: { targets: [88.91], unseen: { 1: [16.2, 69.64, 53.29, 4.54, 2.12, 0.0, 0.0, 0.0, 0.0] } },
    },
    {
      contender: 'promot',
      targets: ['snli'],
      paper: { targets: [89.62], unseen: { 1: [19.83, 62.5, 51.25, 20.56, 9.94, 2.48, 0.9, 6.58, 4.39] } },
    },
    {
      contender: 'fine-tune',
      targets: ['openbookqa'],
      paper: { targets: [77.2], unseen: { 1: [0.0, 0.0, 0.0, 0.05, 0.0, 0.0, 0.0, 0.0, 0.0] } },
    },
    {
      contender: 'promot',
      targets: ['openbookqa'],
      paper: { targets: [81.6], unseen: { 1: [17.4, 41.07, 50.0, 21.1, 10.53, 2.8, 1.04, 7.48, 5.2] } },
    },
  ],
};

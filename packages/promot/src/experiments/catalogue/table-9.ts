// Table 9: a smaller base, mT5 XL.
import type { TableExperiment } from '../experiment.js';

export const table9: TableExperiment = {
  kind: 'table',
  name: 'table-9',
  place: 'Table 9, appendix A.3.4',
  shows: 'a smaller base, mT5-XL, fine-tuned on WMT14 En-Fr: the target and eight unseen tasks, 1-shot',
  base: 'mt5-xl',
  targets: ['wmt14-en-fr'],
  shots: [1],
  rows: [
    {
      contender: 'pretrained',
      paper: { targets: [null], unseen: { 1: [13.59, 26.79, 50.0, 12.13, 6.59, 2.56, 1.52, 4.26, 4.88] } },
    },
    {
      contender: 'prompt-tune',
      paper: { targets: [32.47], unseen: { 1: [13.59, 26.79, 50.0, 12.13, 6.59, 2.56, 1.52, 4.26, 4.88] } },
    },
    {
      contender: 'fine-tune',
      paper: { targets: [35.84], unseen: { 1: [8.61, 21.43, 44.2, 0.83, 0.44, 0.63, 1.2, 0.05, 0.06] } },
    },
    {
      contender: 'promot',
      paper: { targets: [36.46], unseen: { 1: [14.4, 28.57, 51.1, 8.81, 5.31, 7.69, 10.4, 1.37, 1.94] } },
    },
  ],
};

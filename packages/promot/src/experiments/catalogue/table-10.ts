// Table 10: a decoder-only base.
import type { TableExperiment } from '../experiment.js';

export const table10: TableExperiment = {
  kind: 'table',
  name: 'table-10',
  place: 'Table 10, appendix A.3.5',
  shows: 'a decoder-only base, PaLM-8B, fine-tuned on WMT14 En-Fr: the target and eight unseen tasks, 1-shot',
  base: 'palm-8b',
  targets: ['wmt14-en-fr'],
  shots: [1],
  rows: [
    {
      contender: 'pretrained',
      paper: { targets: [null], unseen: { 1: [26.09, 46.43, 49.69, 44.69, 13.02, 23.85, 19.89, 5.57, 5.59] } },
    },
    {
      contender: 'prompt-tune',
      paper: { targets: [13.62], unseen: { 1: [26.09, 46.43, 49.69, 44.69, 13.02, 23.85, 19.89, 5.57, 5.59] } },
    },
    {
      contender: 'fine-tune',
      paper: { targets: [33.04], unseen: { 1: [17.8, 32.14, 49.06, 37.09, 11.91, 3.77, 4.02, 2.29, 3.14] } },
    },
    {
      contender: 'promot',
      paper: { targets: [32.02], unseen: { 1: [22.37, 33.93, 49.69, 42.11, 13.01, 19.33, 13.18, 2.9, 4.77] } },
    },
  ],
  notes: ['PaLM-8B was never released: another decoder-only model stands in, so scores cannot be compared one by one.'],
};

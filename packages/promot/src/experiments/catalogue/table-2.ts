// Table 2: multi-task training on RTE and WMT14 En-Fr.
import { competitors } from '../contenders.js';
import type { TableExperiment } from '../experiment.js';

export const table2: TableExperiment = {
  kind: 'table',
  name: 'table-2',
  place: 'Table 2, section 5.4',
  shows:
    'one model on RTE and WMT14 En-Fr together: ProMoT, with a prompt for each task, keeps more of eight unseen tasks',
  base: 'mt5-xxl',
  targets: ['rte', 'wmt14-en-fr'],
  multiTask: true,
  shots: [1],
  rows: [
    {
      contender: 'pretrained',
      paper: { targets: [47.65, 1.98], unseen: { 1: [17.52, 46.43, 49.69, 17.58, 9.7, 3.97, 1.82, 6.41, 4.59] } },
    },
    {
      contender: 'fine-tune',
      paper: { targets: [90.25, 41.34], unseen: { 1: [20.06, 80.36, 51.1, 15.76, 9.7, 0.88, 1.52, 0.44, 0.72] } },
    },
    {
      contender: 'promot',
      paper: { targets: [91.34, 40.73], unseen: { 1: [25.88, 83.93, 51.41, 16.99, 10.04, 18.83, 18.41, 4.5, 2.89] } },
    },
    {
      contender: 'fine-tune+1-shot',
      paper: { targets: [91.7, 40.87], unseen: { 1: [22.62, 87.5, 53.29, 16.53, 9.4, 2.5, 5.62, 1.82, 4.33] } },
    },
    {
      contender: 'promot+1-shot',
      paper: { targets: [93.14, 40.55], unseen: { 1: [26.17, 85.71, 52.04, 17.18, 10.38, 17.57, 18.57, 4.32, 3.56] } },
    },
    ...competitors,
  ],
  notes: ['The paper does not say how it mixes the tasks; here they are drawn at equal rates.'],
};

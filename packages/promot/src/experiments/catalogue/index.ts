// Every result of the paper, by name.
import { nearestNames, UserError } from '@promot/core/base';
import type { Experiment } from '../experiment.js';
import { enfr } from './enfr.js';
import { figure1, figure2, figure3, figure5, figure6, figure7 } from './figures.js';
import { rteTable } from './rte.js';
import { supervised } from './supervised.js';
import { table1 } from './table-1.js';
import { table2 } from './table-2.js';
import { table3 } from './table-3.js';
import { table6 } from './table-6.js';
import { table7 } from './table-7.js';
import { table8 } from './table-8.js';
import { table9 } from './table-9.js';
import { table10 } from './table-10.js';
import { table11 } from './table-11.js';

export const experiments: readonly Experiment[] = [
  supervised,
  rteTable,
  enfr,
  table1,
  table2,
  table3,
  table6,
  table7,
  table8,
  table9,
  table10,
  table11,
  figure1,
  figure2,
  figure3,
  figure5,
  figure6,
  figure7,
];

/** The experiment of this name. Throws UserError with the nearest names for an unknown one. */
export function findExperiment(name: string): Experiment {
  const found = experiments.find((experiment) => experiment.name === name);
  if (found) return found;
  const names = experiments.map((experiment) => experiment.name);
  const nearest = nearestNames(name, names);
  throw new UserError(
    `unknown experiment "${name}": ` +
      `${nearest.length > 0 ? `did you mean ${nearest.join(', ')}?` : `there are ${names.join(', ')}`}`,
  );
}

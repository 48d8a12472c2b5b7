// A part of an experiment, for who cannot wait for all of it: some of its methods, some numbers of exemplars.
import { didYouMean, UserError } from '@promot/core/base';
import type { Experiment } from './experiment.js';

export interface ExperimentPart {
  /** Names of contenders, see contenders.ts; absent: all. */
  readonly methods?: readonly string[];
  /** Exemplars in front of the unseen tasks' inputs; absent: all. */
  readonly shots?: readonly number[];
}

/**
 * Errors: a UserError for a method or a number of shots that the experiment does not have, or where nothing is left.
 */
export function partOf<E extends Experiment>(experiment: E, { methods, shots }: ExperimentPart): E {
  const { name } = experiment;
  const all = experiment.kind === 'table' ? experiment.rows.map((row) => row.contender) : experiment.contenders;
  for (const method of methods ?? [])
    if (!all.some((contender) => contender === method))
      throw new UserError(
        `${name} has no method "${method}"${didYouMean(method, all)}: it has ${[...new Set(all)].join(', ')}`,
      );
  if (methods?.length === 0)
    throw new UserError(`${name} needs at least one method of ${[...new Set(all)].join(', ')}`);
  const isIn = (contender: string) => methods?.includes(contender) ?? true;
  if (experiment.kind !== 'table') {
    if (shots) throw new UserError(`${name} is not evaluated with different shots`);
    return { ...experiment, contenders: experiment.contenders.filter(isIn) };
  }
  for (const number of shots ?? [])
    if (!experiment.shots.includes(number))
      throw new UserError(
        `${name} is not evaluated ${number}-shot: it has ${experiment.shots.join(', ') || 'no shots'}`,
      );
  return {
    ...experiment,
    rows: experiment.rows.filter((row) => isIn(row.contender)),
    shots: experiment.shots.filter((number) => shots?.includes(number) ?? true),
  };
}

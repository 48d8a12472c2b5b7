// What each experiment takes, for the list that `promot reproduce` shows.
import { experiments } from './catalogue/index.js';
import type { Experiment } from './experiment.js';
import { type Job, plan } from './plan.js';
import { scales } from './scales.js';

export interface Cost {
  readonly runs: number;
  readonly evaluations: number;
  /** Estimated, for one process on the scale's machine. */
  readonly seconds: number;
}

/** What jobs take. */
export function costOf(jobs: Iterable<Job>): Cost {
  const all = [...jobs];
  return {
    runs: all.filter(({ kind }) => kind === 'run').length,
    evaluations: all.filter(({ kind }) => kind === 'evaluation').length,
    seconds: Math.round(all.reduce((sum, { seconds }) => sum + seconds, 0)),
  };
}

interface ListedExperiment {
  readonly name: string;
  readonly place: string;
  readonly shows: string;
  /** By scale, for one seed and nothing done yet. Experiments share jobs: together they take less than the sum. */
  readonly costs: Readonly<Record<string, Cost & { readonly model: string }>>;
}

export interface List {
  readonly scales: readonly {
    readonly name: string;
    readonly about: string;
    readonly machine: string;
    readonly all: Cost;
  }[];
  readonly experiments: readonly ListedExperiment[];
}

/** Every experiment with its cost at every scale. */
export function listExperiments(): List {
  const planOf = (experiment: Experiment, scale: (typeof scales)[number]) => plan(experiment, { scale, seeds: [0] });
  return {
    scales: scales.map((scale) => {
      const jobs = new Map(experiments.flatMap((experiment) => [...planOf(experiment, scale).jobs]));
      return { name: scale.name, about: scale.about, machine: scale.speed.machine, all: costOf(jobs.values()) };
    }),
    experiments: experiments.map((experiment) => ({
      name: experiment.name,
      place: experiment.place,
      shows: experiment.shows,
      costs: Object.fromEntries(
        scales.map((scale) => {
          const planner = planOf(experiment, scale);
          return [scale.name, { model: planner.model(experiment), ...costOf(planner.jobs.values()) }];
        }),
      ),
    })),
  };
}

// One experiment from its name to its report: its plan, its work and its results.
import '../lab/register.js';
import { join } from 'node:path';
import { reworded, UserError, writeText } from '@promot/core/base';
import type { DeviceSetting } from '@promot/core/models';
import { locateModel } from '@promot/core/open';
import type { Report, Section } from '@promot/core/report';
import { writeReport } from '@promot/core/report';
import { loadTask } from '@promot/core/tasks';
import { distributed } from '@promot/torch';
import { findExperiment } from './catalogue/index.js';
import { type Cost, costOf } from './cost.js';
import { execute, type Told } from './execute.js';
import type { Experiment } from './experiment.js';
import { factsOf, standIns } from './facts.js';
import { figureNumbers, figureSections } from './figures.js';
import { ExperimentFolder } from './folder.js';
import { outputsNumbers, outputsSections } from './outputs.js';
import { type ExperimentPart, partOf } from './part.js';
import { type Job, type Planner, type PlanRequest, plan } from './plan.js';
import { type Scale, scales } from './scales.js';
import { tableNumbers, tableSections } from './tables.js';

export interface ReproduceRequest extends Omit<PlanRequest, 'scale' | 'seeds'>, ExperimentPart, Told {
  /** Of an experiment, see `listExperiments`. */
  readonly name: string;
  /** `lab` (default), `small` or `paper`. */
  readonly scale?: string;
  /** How many seeds: 0, 1, ... Default 1. */
  readonly seeds?: number;
  /** Runs, evaluations and reports go here; experiments that share a folder share their runs. */
  readonly out: string;
  readonly signal?: AbortSignal;
}

/** What an experiment comes to. */
export interface Outlook {
  readonly name: string;
  readonly scale: string;
  readonly model: string;
  /** All that it consists of, and what of it is not done yet. */
  readonly all: Cost;
  readonly left: Cost;
  readonly jobs: readonly {
    readonly kind: Job['kind'];
    readonly name: string;
    readonly seconds: number;
    readonly done: boolean;
  }[];
}

export interface Reproduced extends Outlook {
  /** False where the signal ended it: the same request goes on. */
  readonly finished: boolean;
  /** index.html first. */
  readonly files: readonly string[];
}

/**
 * What `reproduce` would do; writes nothing and loads no model.
 * Errors: a UserError for an unknown experiment or scale, or settings that are wrong.
 */
export function outlook(request: ReproduceRequest): Outlook {
  const { experiment, planner, folder } = prepare(request);
  const jobs = [...planner.jobs.values()];
  const left = jobs.filter((job) => !folder.finished(job));
  return {
    name: experiment.name,
    scale: planner.request.scale.name,
    model: planner.model(experiment),
    all: costOf(jobs),
    left: costOf(left),
    jobs: jobs.map((job) => ({ kind: job.kind, name: job.name, seconds: job.seconds, done: !left.includes(job) })),
  };
}

/**
 * Reproduces a result of the paper: trains and evaluates what is not there yet in `out`, then writes the report and all
 * numbers into `out`/NAME. May be ended by the signal, or killed, at any time, and goes on with the same request.
 * Several processes may do so at once in one folder: each takes the jobs that no other has. The ranks of a process
 * group do each job together, and rank 0 writes. Errors: a UserError for anything wrong with the request, the model, or
 * the data.
 *
 * @example await reproduce({ name: 'table-3', out: 'reproduce/lab', seeds: 5 });
 */
export async function reproduce(request: ReproduceRequest): Promise<Reproduced> {
  const { experiment, planner, folder } = prepare(request);
  const { data, settings, signal } = request;
  try {
    await locateModel(planner.model(experiment), { onEvent: request.onEvent });
  } catch (error) {
    const scale = planner.request.scale.name;
    const needs = `${experiment.name} at scale ${scale} needs a model`;
    throw reworded(error, (message) => `${needs}: ${message} (--model names another)`);
  }
  // Before hours of training, not after them.
  for (const task of tasksOf(planner)) await loadTask(task, { data, hub: { onEvent: request.onEvent } });
  const finished = await execute([...planner.jobs.values()], {
    ...request,
    folder,
    data,
    signal,
    device: settings?.device as DeviceSetting | undefined,
  });
  const files = finished && distributed.getRank() === 0 ? await writeResults(experiment, planner, folder, request) : [];
  return { ...outlook(request), finished, files };
}

function prepare(request: ReproduceRequest): { experiment: Experiment; planner: Planner; folder: ExperimentFolder } {
  const { name, scale: scaleName = 'lab', seeds = 1, out, model, data, settings, limit, methods, shots } = request;
  const experiment = partOf(findExperiment(name), { methods, shots });
  const scale = findScale(scaleName);
  const planner = plan(experiment, {
    scale,
    model,
    data,
    settings,
    limit,
    seeds: Array.from({ length: seeds }, (_, seed) => seed),
  });
  return { experiment, planner, folder: new ExperimentFolder(out) };
}

/** All tasks that are trained on or evaluated. */
function tasksOf(planner: Planner): Set<string> {
  return new Set([...planner.jobs.values()].flatMap((job) => (job.kind === 'interpolation' ? [] : job.tasks)));
}

/** The scale of this name. Throws UserError for an unknown one. */
export function findScale(name: string): Scale {
  const found = scales.find((scale) => scale.name === name);
  if (!found) throw new UserError(`unknown scale "${name}": there are ${scales.map((scale) => scale.name).join(', ')}`);
  return found;
}

/** Writes index.html, report.md, figures and results.json. */
async function writeResults(
  experiment: Experiment,
  planner: Planner,
  folder: ExperimentFolder,
  { methods, shots }: ExperimentPart,
): Promise<string[]> {
  const { sections, numbers } = await resultsOf(experiment, planner, folder);
  const facts = factsOf(experiment, planner, folder);
  const { scale } = planner.request;
  const report: Report = {
    title: `${experiment.place}, at scale ${scale.name}`,
    summary: [
      `What the paper shows: ${experiment.shows}.`,
      ...(experiment.notes ?? []),
      ...(methods || shots
        ? [`Only a part was done: ${[...(methods ?? []), ...(shots ?? []).map((n) => `${n}-shot`)].join(', ')}.`]
        : []),
      ...standIns(experiment, planner),
    ],
    sections,
    facts,
  };
  const out = join(folder.path, experiment.name);
  const files = await writeReport(out, report);
  const results = {
    name: experiment.name,
    place: experiment.place,
    shows: experiment.shows,
    kind: experiment.kind,
    facts: Object.fromEntries(facts),
    results: numbers,
    notes: report.summary.slice(1),
    jobs: [...planner.jobs.values()].map((job) => ({ ...job, took: folder.finished(job)?.seconds })),
  };
  const path = join(out, 'results.json');
  await writeText(path, `${JSON.stringify(results, null, 2)}\n`);
  return [...files, path];
}

async function resultsOf(
  experiment: Experiment,
  planner: Planner,
  folder: ExperimentFolder,
): Promise<{ sections: readonly Section[]; numbers: unknown }> {
  switch (experiment.kind) {
    case 'table': {
      const numbers = await tableNumbers(experiment, planner, folder);
      return { sections: await tableSections(experiment, numbers, planner), numbers };
    }
    case 'outputs': {
      const numbers = outputsNumbers(experiment, planner, folder);
      return { sections: outputsSections(numbers), numbers };
    }
    default: {
      const numbers = figureNumbers(experiment, planner, folder);
      return { sections: figureSections(experiment, numbers, planner), numbers };
    }
  }
}

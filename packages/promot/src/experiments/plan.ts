// From an experiment, a scale and seeds to the work that it takes: training runs, interpolations, evaluations. The name
// of each is a hash of all that its result depends on, so experiments share what they have in common and nothing is
// done twice.
import { createHash } from 'node:crypto';
import type { Split } from '@promot/core/data';
import { adapterAtUse, findMethod } from '@promot/core/methods';
import { builtinTasks } from '@promot/core/tasks';
import { type ConfigInput, defaultConfig, resolveConfig } from '@promot/core/train';
import { type Contender, type ContenderName, contenders } from './contenders.js';
import {
  type CourseExperiment,
  type Experiment,
  type OutputsExperiment,
  type PaperTask,
  type Row,
  type TableExperiment,
  type TargetTask,
  type TradeOffExperiment,
  type UnseenTask,
  unseenTasks,
} from './experiment.js';
import type { Scale } from './scales.js';

export interface PlanRequest {
  readonly scale: Scale;
  /** Of training; exemplars and evaluated examples are the same for all. */
  readonly seeds: readonly number[];
  /** In place of the scale's models. */
  readonly model?: string;
  /** Folder with the data of built-in tasks. */
  readonly data?: string;
  /** Training settings that win over the scale's. */
  readonly settings?: ConfigInput;
  /** Examples of each evaluation, in place of the scale's. */
  readonly limit?: number;
}

interface JobFacts {
  /** Folder name; equal names mean equal results. */
  readonly name: string;
  /** Names of the jobs whose results it uses. */
  readonly needs: readonly string[];
  /** Estimated time. */
  readonly seconds: number;
}

export interface RunJob extends JobFacts {
  readonly kind: 'run';
  readonly model: string;
  readonly tasks: readonly string[];
  readonly method: string;
  readonly settings: ConfigInput;
  /** Whether the gradients' alignment is measured at its checkpoints. */
  readonly alignment: boolean;
}

/** WiSE-FT: weights between the base and a run's. */
export interface Interpolation extends JobFacts {
  readonly kind: 'interpolation';
  readonly model: string;
  readonly run: string;
  readonly factor: number;
}

export interface EvaluationJob extends JobFacts {
  readonly kind: 'evaluation';
  /** A model's name, or what a job made. */
  readonly model: { readonly base: string } | { readonly run: string } | { readonly interpolation: string };
  /** The run whose soft prompt (or LoRA) is attached; of a run of several tasks, that of `task`. */
  readonly prompt?: { readonly run: string; readonly task?: string };
  readonly tasks: readonly string[];
  readonly shots: number;
  /** Where it is not the one that the task is reported on. */
  readonly split?: Split;
  readonly limit?: number;
  readonly beams: number;
  /** Where inputs are cut. */
  readonly maxInputLength?: number;
  readonly precision: 'fp32' | 'bf16';
}

export type Job = RunJob | Interpolation | EvaluationJob;

/** A task of the paper and what takes its place. */
interface PlacedTask {
  readonly paper: PaperTask;
  readonly task: string;
}

/** What a table's row consists of, for one seed. */
interface RowPart {
  readonly targets: readonly { readonly target: TargetTask; readonly evaluation: EvaluationJob }[];
  readonly unseen: readonly { readonly shots: number; readonly evaluation: EvaluationJob }[];
}

/** What is drawn of a contender in a figure, for one seed: a run's checkpoints, or the scores of a finished model. */
export type FigurePart = { readonly run: RunJob } | { readonly target: EvaluationJob; readonly unseen: EvaluationJob };

/** Jobs by name, as experiments ask for them; asking twice gives the same job. */
export class Planner {
  readonly jobs = new Map<string, Job>();

  /** `pace`: how much longer each job takes than with the model that the scale's speeds are of. */
  constructor(
    readonly request: PlanRequest,
    private readonly pace = 1,
  ) {}

  /** What takes the place of a task, or undefined. */
  place<T extends PaperTask>(paper: T): (PlacedTask & { readonly paper: T }) | undefined {
    const task = this.request.scale.tasks[paper];
    return task === undefined ? undefined : { paper, task };
  }

  /** Those of the unseen tasks that the scale has. */
  get unseen(): (PlacedTask & { readonly paper: UnseenTask })[] {
    return unseenTasks.flatMap((task) => this.place(task) ?? []);
  }

  model(experiment: Experiment): string {
    return this.request.model ?? this.request.scale.models[experiment.base];
  }

  /** Examples of each task that is asked along a run: the scale's number, or the person's limit if that is lower. */
  get watchLimit(): number {
    return Math.min(this.request.scale.watchLimit, this.request.limit ?? Number.POSITIVE_INFINITY);
  }

  /**
   * The run that a contender needs. `more`: settings of a figure; the person's win over them, the contender's over all.
   */
  run(
    model: string,
    name: ContenderName,
    targets: readonly TargetTask[],
    seed: number,
    more: ConfigInput = {},
    watches: readonly UnseenTask[] = [],
  ): RunJob {
    const { scale, data, settings: own = {} } = this.request;
    const contender: Contender = contenders[name];
    const tasks = targets.map((target) => this.place(target)!.task);
    const method = contender.method!;
    const settings = merge(
      scale.settings,
      scale.methods?.[method] ?? {},
      more,
      own,
      contender.settings ?? {},
      contender.replay === undefined
        ? {}
        : { replay: { tasks: scale.replay.map((task) => scale.tasks[task]!), share: contender.replay } },
      watches.length === 0
        ? {}
        : { keep: { tasks: watches.map((task) => this.place(task)!.task), shots: 1, limit: this.watchLimit } },
      { seed },
    );
    const alignment = watches.length > 0;
    const hash = fingerprint({ model, data: dataOf(tasks, data), tasks, method, settings, alignment });
    const shots = settings.shots === 1 ? '-1-shot' : '';
    return this.#add({
      kind: 'run',
      name: `${method}${shots}-${tasks.join('-')}-s${seed}-${hash}`,
      needs: [],
      seconds: this.pace * runSeconds(scale, method, settings, tasks, watches.length * this.watchLimit),
      model,
      tasks,
      method,
      settings,
      alignment,
    });
  }

  /** A contender on one of its own tasks: with its soft prompt, and exemplars only where it was trained with some. */
  onTarget(
    model: string,
    name: ContenderName,
    targets: readonly TargetTask[],
    target: TargetTask,
    seed: number,
  ): EvaluationJob {
    const contender: Contender = contenders[name];
    const { task } = this.place(target)!;
    const shots = contender.settings?.shots === 1 ? 1 : 0;
    if (contender.method === undefined) return this.#evaluation({ base: model }, undefined, [task], shots);
    const run = this.run(model, name, targets, seed);
    const attached = adapterAtUse(findMethod(run.method)) !== undefined;
    const prompt = attached ? { run: run.name, ...(targets.length > 1 && { task }) } : undefined;
    return this.#evaluation(this.#tuned(model, contender, run), prompt, [task], shots);
  }

  /** A contender on the tasks that it was not trained on: without its prompt. */
  onUnseen(
    model: string,
    name: ContenderName,
    targets: readonly TargetTask[],
    shots: number,
    seed: number,
    tasks: readonly string[] = this.unseen.map(({ task }) => task),
  ): EvaluationJob {
    const contender: Contender = contenders[name];
    const bare = contender.method === undefined || contender.promptOnly;
    const place = bare ? { base: model } : this.#tuned(model, contender, this.run(model, name, targets, seed));
    return this.#evaluation(place, undefined, tasks, shots);
  }

  /** A model that is interpolated from a run's, without a prompt, on a part of what `tasks` have. */
  onSome(
    model: string,
    name: ContenderName,
    run: RunJob,
    tasks: readonly string[],
    shots: number,
    part: Pick<EvaluationJob, 'split' | 'limit'>,
  ): EvaluationJob {
    return this.#evaluation(this.#tuned(model, contenders[name], run), undefined, tasks, shots, part);
  }

  #tuned(model: string, { promptOnly, factor }: Contender, run: RunJob): EvaluationJob['model'] {
    if (promptOnly) return { base: model };
    if (factor === undefined) return { run: run.name };
    const hash = fingerprint({ model, run: run.name, factor });
    const { name } = this.#add({
      kind: 'interpolation',
      name: `wise-ft-${factor}-${hash}`,
      needs: [run.name],
      seconds: 5,
      model,
      run: run.name,
      factor,
    });
    return { interpolation: name };
  }

  #evaluation(
    model: EvaluationJob['model'],
    prompt: EvaluationJob['prompt'],
    tasks: readonly string[],
    shots: number,
    part: Pick<EvaluationJob, 'split' | 'limit'> = {},
  ): EvaluationJob {
    const { scale, data, limit = scale.limit, settings = {} } = this.request;
    const { beams, precision, maxInputLength } = {
      beams: scale.beams,
      precision: scale.precision,
      ...(settings as Partial<Pick<EvaluationJob, 'beams' | 'precision' | 'maxInputLength'>>),
    };
    const what = {
      model,
      ...(prompt && { prompt }),
      tasks,
      shots,
      limit,
      beams,
      precision,
      ...part,
      ...(maxInputLength !== undefined && { maxInputLength }),
    };
    const hash = fingerprint({ ...what, data: dataOf(tasks, data) });
    const [whose] = Object.values(model) as [string];
    const of = whose.replace(/-[0-9a-f]{12}$/u, '').replace(/^.*[/\\]/u, '');
    const behind = prompt && !('run' in model) ? '+prompt' : '';
    const on = tasks.length === 1 ? tasks[0] : `${tasks.length}-tasks`;
    return this.#add({
      kind: 'evaluation',
      name: `${of}${behind}-on-${on}-${shots}-shot-${hash}`,
      needs: [...('base' in model ? [] : [whose]), ...(prompt && !('run' in model) ? [prompt.run] : [])],
      seconds: this.pace * evaluationSeconds(scale, tasks, shots, what.limit),
      ...what,
    });
  }

  #add<T extends Job>(job: T): T {
    if (!this.jobs.has(job.name)) this.jobs.set(job.name, job);
    return this.jobs.get(job.name) as T;
  }
}

/** What a row of a table consists of, a part for each seed. */
export function rowParts(experiment: TableExperiment, row: Row, planner: Planner): RowPart[] {
  const model = planner.model(experiment);
  const targets = row.targets ?? experiment.targets;
  const of = (target: TargetTask) => (experiment.multiTask ? targets : [target]);
  return planner.request.seeds.map((seed) => ({
    targets: targets.map((target) => ({
      target,
      evaluation: planner.onTarget(model, row.contender, of(target), target, seed),
    })),
    unseen: experiment.shots.map((shots) => ({
      shots,
      evaluation: planner.onUnseen(model, row.contender, of(targets[0]!), shots, seed),
    })),
  }));
}

/**
 * The 1-shot evaluations whose outputs are shown, one for each contender; of the first seed. The tables of RTE and
 * En-Fr share them.
 */
export function outputParts(
  experiment: OutputsExperiment,
  part: OutputsExperiment['parts'][number],
  planner: Planner,
): { readonly tasks: readonly PlacedTask[]; readonly evaluations: readonly EvaluationJob[] } {
  const model = planner.model(experiment);
  const [seed] = planner.request.seeds as [number];
  return {
    tasks: part.tasks.flatMap((task) => planner.place(task) ?? []),
    evaluations: experiment.contenders.map((name) => planner.onUnseen(model, name, [part.target], 1, seed)),
  };
}

/** What is drawn of a contender, a part for each seed. */
export function figureParts(
  experiment: CourseExperiment | TradeOffExperiment,
  name: ContenderName,
  planner: Planner,
): FigurePart[] {
  const model = planner.model(experiment);
  const { scale, seeds } = planner.request;
  const { target, kind } = experiment;
  const watches = experiment.watches.filter((task) => planner.place(task) !== undefined);
  return seeds.map((seed) => {
    const contender: Contender = contenders[name];
    const more = kind === 'course' ? scale.course : scale.long;
    const run = planner.run(model, name, [target], seed, more, watches);
    if (contender.factor === undefined) return { run };
    // As the run's own checkpoints are evaluated.
    const { task } = planner.place(target)!;
    const limit = (run.settings.validationLimit as number | undefined) || undefined;
    const watched = watches.map((one) => planner.place(one)!.task);
    return {
      target: planner.onSome(model, name, run, [task], 0, { split: 'validation', limit }),
      unseen: planner.onSome(model, name, run, watched, 1, { limit: planner.watchLimit }),
    };
  });
}

/** All jobs of an experiment, those that others need before them. */
export function plan(experiment: Experiment, request: PlanRequest): Planner {
  const planner = new Planner(request, request.model === undefined ? request.scale.pace?.[experiment.base] : undefined);
  if (experiment.kind === 'table') for (const row of experiment.rows) rowParts(experiment, row, planner);
  else if (experiment.kind === 'outputs') for (const part of experiment.parts) outputParts(experiment, part, planner);
  else for (const name of experiment.contenders) figureParts(experiment, name, planner);
  return planner;
}

/** Settings overlaid, one level deep. */
export function merge(...all: readonly ConfigInput[]): Record<string, unknown> {
  const merged: Record<string, unknown> = {};
  for (const settings of all)
    for (const [key, value] of Object.entries(settings)) {
      const nested = typeof value === 'object' && value !== null && !Array.isArray(value);
      merged[key] = nested ? { ...(merged[key] as object | undefined), ...value } : value;
    }
  return merged;
}

/** The lab's tasks make their own data. */
function dataOf(tasks: readonly string[], data: string | undefined): string | undefined {
  return tasks.every((task) => task.startsWith('lab-')) ? undefined : data;
}

/** Twelve hexadecimal digits of SHA-256, the order of keys ignored. */
function fingerprint(value: object): string {
  const sorted = JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
  return createHash('sha256').update(sorted).digest('hex').slice(0, 12);
}

/** Where a split's size is not known. */
const usualSize = 1000;

function sizeOf(task: string, split: 'validation' | 'evaluation'): number {
  const definition = builtinTasks.find(({ name }) => name === task);
  const which = split === 'validation' ? split : definition?.evaluationSplits[0];
  return (which && definition?.paperSizes?.[which]) ?? usualSize;
}

/** Longer inputs take longer. A rule of thumb. */
const shotFactor: Readonly<Record<number, number>> = { 0: 0.7, 1: 1, 4: 2 };

function evaluationSeconds(
  { speed }: Scale,
  tasks: readonly string[],
  shots: number,
  limit = Number.POSITIVE_INFINITY,
): number {
  const examples = tasks.reduce((sum, task) => sum + Math.min(limit, sizeOf(task, 'evaluation')), 0);
  return examples * speed.answer * shotFactor[shots]!;
}

function runSeconds(
  { speed }: Scale,
  method: string,
  settings: ConfigInput,
  tasks: readonly string[],
  watched: number,
): number {
  const config = resolveConfig(defaultConfig('encoder-decoder', false), settings);
  const limit = config.validationLimit || Number.POSITIVE_INFINITY;
  const validated = tasks.reduce((sum, task) => sum + Math.min(limit, sizeOf(task, 'validation')), 0);
  return findMethod(method).stages.reduce((sum, { settings: stage, trains }) => {
    const { steps, keepEvery } = config.stages[stage]!;
    const whole = trains.includes('model');
    const step = whole ? speed.stage2Step : speed.stage1Step * tasks.length;
    const checkpoint = (validated * shotFactor[config.shots]! + (whole ? watched : 0)) * speed.answer;
    return sum + steps * step * (config.shots === 1 ? 1.5 : 1) + Math.ceil(steps / keepEvery) * checkpoint;
  }, 0);
}

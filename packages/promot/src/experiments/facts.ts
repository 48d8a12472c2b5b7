// What a reader of an experiment's report must know beside its numbers: what stands in for the paper's, settings,
// versions, costs.
import { cpus } from 'node:os';
import { flattened, readRun } from '@promot/core/artifacts';
import { version } from '@promot/core/base';
import { builtinTasks } from '@promot/core/tasks';
import { libtorch } from '@promot/torch';
import { costOf } from './cost.js';
import type { Experiment, TargetTask } from './experiment.js';
import type { ExperimentFolder } from './folder.js';
import type { Planner, RunJob } from './plan.js';
import { scales } from './scales.js';

type Fact = [name: string, value: string];

/** What takes the place of the paper's model and tasks, in words. */
export function standIns(experiment: Experiment, planner: Planner): string[] {
  const { scale } = planner.request;
  const model = planner.model(experiment);
  const tasks = Object.entries(scale.tasks).filter(([paper, task]) => paper !== task);
  const missing = Object.keys(scales.at(-1)!.tasks).filter((task) => !(task in scale.tasks));
  const onValidation = targetsOf(experiment).filter((target) => {
    const task = builtinTasks.find(({ name }) => name === planner.place(target)?.task);
    return task?.evaluationSplits[0] === 'validation';
  });
  return [
    `The model is ${model}; the paper's is ${experiment.base}.`,
    ...(tasks.length > 0
      ? [`In place of the paper's tasks: ${tasks.map(([paper, task]) => `${task} for ${paper}`).join(', ')}.`]
      : []),
    ...(missing.length > 0 ? [`Left out: ${missing.join(', ')}.`] : []),
    ...(tasks.length > 0 || model !== scales.at(-1)!.models[experiment.base]
      ? ["Scores are not comparable with the paper's one by one; what can be compared is the order of the methods."]
      : []),
    ...onValidation.map(
      (target) => `${target} chooses its checkpoint and is reported on the same development set, as in the paper.`,
    ),
    ...(runsOf(planner).some(({ settings }) => 'replay' in settings)
      ? [`Replay draws from ${scale.replay.map((task) => scale.tasks[task]).join(', ')}, which are not unseen there.`]
      : []),
  ];
}

function targetsOf(experiment: Experiment): readonly TargetTask[] {
  if (experiment.kind === 'table') return experiment.targets;
  return experiment.kind === 'outputs' ? experiment.parts.map(({ target }) => target) : [experiment.target];
}

const runsOf = (planner: Planner): RunJob[] =>
  [...planner.jobs.values()].flatMap((job) => (job.kind === 'run' ? [job] : []));

/** Names and values for the end of the report. All jobs must be done. */
export function factsOf(experiment: Experiment, planner: Planner, folder: ExperimentFolder): Fact[] {
  const { scale, seeds, settings = {}, limit = scale.limit, data } = planner.request;
  const jobs = [...planner.jobs.values()];
  const took = jobs.reduce((sum, job) => sum + (folder.finished(job)?.seconds ?? 0), 0);
  return [
    ['experiment', `${experiment.name} at scale ${scale.name} (${scale.about})`],
    ['model', planner.model(experiment)],
    // Outputs are shown of one model each.
    ['seeds', (experiment.kind === 'outputs' ? seeds.slice(0, 1) : seeds).join(', ')],
    ...trainingFacts(planner, folder),
    [
      'evaluation',
      `${limit === undefined ? 'all' : `first ${limit}`} examples, ${settings.beams ?? scale.beams} beams, ` +
        `${settings.precision ?? scale.precision}`,
    ],
    ...(data === undefined ? [] : ([['data', data]] as Fact[])),
    [
      'runs and evaluations',
      `${costOf(jobs).runs} and ${costOf(jobs).evaluations}, ${Math.round(took)} s of training steps and evaluations`,
    ],
    ['promot', version()],
    ['Node.js and libtorch', `${process.version}, ${libtorch().version}`],
    ['processor', `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores`],
  ];
}

/**
 * The settings that all runs had, and for each kind of run those of its own and the time that its training steps took.
 */
function trainingFacts(planner: Planner, folder: ExperimentFolder): Fact[] {
  const kinds = new Map<string, { name: string; config: Record<string, string>; seconds: number[] }>();
  for (const run of runsOf(planner)) {
    // Where it ran and which seed it had do not make another kind.
    const { seed, device, ...config } = flattened(readRun(folder.of(run)).config as Record<string, unknown>);
    const name = `${run.method}${run.settings.shots === 1 ? ' + 1-shot' : ''} on ${run.tasks.join(', ')}`;
    const key = JSON.stringify([name, config]);
    const kind = kinds.get(key) ?? { name, config, seconds: [] };
    kinds.set(key, kind);
    kind.seconds.push(folder.finished(run)?.seconds ?? 0);
  }
  const [first] = kinds.values();
  if (!first) return [];
  const isCommon = ([key, value]: [string, string]) => [...kinds.values()].every(({ config }) => config[key] === value);
  const written = (entries: readonly [string, string][]) => entries.map(([key, value]) => `${key}=${value}`).join(' ');
  return [
    ['settings of all runs', written(Object.entries(first.config).filter(isCommon))],
    ...[...kinds.values()].map(({ name, config, seconds }): Fact => {
      const own = written(Object.entries(config).filter((entry) => !isCommon(entry)));
      // A run that the machine held up for a while says little of the others.
      const median = [...seconds].sort((a, b) => a - b)[Math.floor(seconds.length / 2)]!;
      const cost = `${seconds.length} runs, ${Math.round(median)} s of training steps each (the median)`;
      return [name, [own, cost].filter(Boolean).join('; ')];
    }),
  ];
}

// A table of the paper with our numbers: scores, differences to the pretrained model, form share, likelihood of
// references.

import { inTargetForm, type TargetForm, targetForm } from '@promot/core/evaluation';
import { bootstrapInterval, resultOf } from '@promot/core/metrics';
import type { Cell, FigurePoint, Section } from '@promot/core/report';
import { paretoFront } from '@promot/core/report';
import type { Task } from '@promot/core/tasks';
import { loadTask } from '@promot/core/tasks';
import { type Contender, contenders } from './contenders.js';
import { type TableExperiment, type TargetTask, unseenTasks } from './experiment.js';
import type { ExperimentFolder } from './folder.js';
import {
  type Found,
  type Measure,
  meanFound,
  measureOf,
  nllOf,
  readEvaluationJob,
  readSamplesOf,
  scoreOf,
} from './numbers.js';
import { type EvaluationJob, type Planner, rowParts } from './plan.js';

/** A measure beside the paper's number and the pretrained model's. */
interface Compared extends Measure {
  /** To the pretrained model, where the table has it. */
  readonly difference?: number;
  readonly paper?: number;
}

interface UnseenNumbers {
  readonly shots: number;
  readonly average: Compared;
  /** Mean score of the tasks without labels: where a label is no answer, and no point is won by guessing. */
  readonly openEnded: Compared;
  /** By the paper's name of each task. */
  readonly scores: Readonly<Record<string, Compared>>;
  /** Mean over the tasks, nats per token of the references. */
  readonly nll: Compared;
  /** Of the tasks without labels. */
  readonly openEndedNll: Compared;
  readonly nlls: Readonly<Record<string, Compared>>;
  /** Percent of the outputs on tasks of another form that have the form of a target of this row. */
  readonly formShare: Compared;
}

export interface RowNumbers {
  readonly contender: string;
  readonly label: string;
  readonly targets: Readonly<Partial<Record<TargetTask, Compared>>>;
  readonly unseen: readonly UnseenNumbers[];
}

/** All numbers of a table. Errors: a UserError for files that are missing or damaged. */
export async function tableNumbers(
  experiment: TableExperiment,
  planner: Planner,
  folder: ExperimentFolder,
): Promise<RowNumbers[]> {
  const { data } = planner.request;
  const load = (name: string) => loadTask(name, { data });
  const unseen = planner.unseen;
  const others = await Promise.all(unseen.map(({ task }) => load(task)));
  const forms = new Map<TargetTask, TargetForm>();
  if (experiment.shots.length > 0)
    for (const target of experiment.targets)
      forms.set(target, await targetForm(await load(planner.place(target)!.task), others));

  const untouched = experiment.rows.find(({ contender }) => contender === 'pretrained');
  const untouchedParts = untouched && rowParts(experiment, untouched, planner);
  const entry = (evaluation: EvaluationJob, task: string) => readEvaluationJob(folder, evaluation).get(task)!;
  const raw = experiment.rows.map((row) => {
    const parts = rowParts(experiment, row, planner);
    const targets = row.targets ?? experiment.targets;
    const own = targets.map((target) => forms.get(target)!);
    return {
      row,
      targets: targets.map((target, t) =>
        over(
          parts.map((part) => part.targets[t]!.evaluation),
          (evaluation) => scoreOf(entry(evaluation, planner.place(target)!.task)),
        ),
      ),
      unseen: experiment.shots.map((shots, s) => {
        const evaluations = parts.map((part) => part.unseen[s]!.evaluation);
        const each = (of: typeof scoreOf) =>
          unseen.map(({ task }) => over(evaluations, (evaluation) => of(entry(evaluation, task))));
        const mean = (of: typeof scoreOf, tasks = unseen) =>
          over(evaluations, (evaluation) => meanFound(tasks.map(({ task }) => of(entry(evaluation, task)))));
        const open = unseen.filter((_, i) => !others[i]!.labels);
        const shareOf = (all: readonly EvaluationJob[]) =>
          over(all, (evaluation) => formShareOf(folder, evaluation, others, own));
        return {
          shots,
          average: mean(scoreOf),
          openEnded: mean(scoreOf, open),
          scores: each(scoreOf),
          nll: mean(nllOf),
          openEndedNll: mean(nllOf, open),
          nlls: each(nllOf),
          formShare: shareOf(evaluations),
          // Rows may have different targets, and so different forms.
          formShareBefore: untouchedParts && shareOf(untouchedParts.map((part) => part.unseen[s]!.evaluation)),
        };
      }),
    };
  });

  const pretrained = raw.find(({ row }) => row === untouched);
  const beside = (measure: Measure, base?: Measure, paper?: number | null): Compared => ({
    ...measure,
    ...(base && base !== measure && { difference: measure.value - base.value }),
    ...(typeof paper === 'number' && { paper }),
  });
  return raw.map(({ row, targets, unseen: ours }) => ({
    contender: row.contender,
    label: labelOf(row),
    targets: Object.fromEntries(
      (row.targets ?? experiment.targets).map((target, t) => [
        target,
        beside(targets[t]!, pretrained?.targets[experiment.targets.indexOf(target)], row.paper?.targets?.[t]),
      ]),
    ),
    unseen: ours.map((one, s) => {
      const base = pretrained?.unseen[s];
      const paper = row.paper?.unseen?.[one.shots];
      const named = (list: readonly Measure[], bases?: readonly Measure[], printed = false) =>
        Object.fromEntries(
          unseen.map(({ paper: task }, i) => [
            task,
            beside(list[i]!, bases?.[i], printed ? paper?.[unseenTasks.indexOf(task) + 1] : undefined),
          ]),
        );
      return {
        shots: one.shots,
        average: beside(one.average, base?.average, paper?.[0]),
        openEnded: beside(one.openEnded, base?.openEnded),
        scores: named(one.scores, base?.scores, true),
        nll: beside(one.nll, base?.nll),
        openEndedNll: beside(one.openEndedNll, base?.openEndedNll),
        nlls: named(one.nlls, base?.nlls),
        formShare: beside(one.formShare, row === untouched ? undefined : one.formShareBefore),
      };
    }),
  }));
}

/** What the seeds' evaluations show. An evaluation that all seeds share counts once. */
function over(evaluations: readonly EvaluationJob[], find: (evaluation: EvaluationJob) => Found): Measure {
  return measureOf([...new Map(evaluations.map((one) => [one.name, one])).values()].map(find));
}

function labelOf({ contender, targets }: TableExperiment['rows'][number]): string {
  const { label }: Contender = contenders[contender];
  return targets ? `${label} on ${targets.join(', ')}` : label;
}

/**
 * Percent of the outputs that have one of the forms. Tasks with labels are left out: there, a label is no wrong form.
 */
function formShareOf(
  folder: ExperimentFolder,
  evaluation: EvaluationJob,
  tasks: readonly Task[],
  forms: readonly TargetForm[],
): Found {
  const hits = tasks
    .filter(({ labels }) => !labels)
    .flatMap(({ name }) => {
      const outputs = readSamplesOf(folder, evaluation, name).map(({ trimmed }) => trimmed);
      return inTargetForm(outputs, ...forms).map((has) => (has ? 100 : 0));
    });
  const result = resultOf(
    hits.map((hit) => [hit]),
    { signature: 'form share' },
  );
  const { low, high } = bootstrapInterval(result);
  return { value: result.score, interval: [low, high] };
}

const cell = ({ value, spread, interval, difference, paper }: Compared, digits = 1): Cell => ({
  value,
  digits,
  difference,
  paper,
  ...(spread !== undefined && { spread }),
  ...(interval && { interval: [interval[0], interval[1]] as const }),
});

/** The tables and, where there is something to lose, the scatter of gain against loss. */
export async function tableSections(
  experiment: TableExperiment,
  rows: readonly RowNumbers[],
  planner: Planner,
): Promise<Section[]> {
  const heading = async (task: string) => `${task} (${(await loadTask(task, planner.request)).metrics[0].name})`;
  const places = experiment.targets.map((target) => planner.place(target)!.task);
  const targetColumns = await Promise.all(places.map(heading));
  const unseenColumns = await Promise.all(planner.unseen.map(({ task }) => heading(task)));
  const note =
    'Brackets: 95 % bootstrap interval over the evaluated examples (the mean of its ends over seeds); ±: standard ' +
    'deviation over seeds. Signed: difference to the pretrained model. Paper: as printed there, for its model and ' +
    'data.';
  const targetCells = ({ targets }: RowNumbers): Cell[] =>
    experiment.targets.map((target) => (targets[target] ? cell(targets[target]) : { text: '-' }));
  if (experiment.shots.length === 0) {
    const table = {
      columns: ['method', ...targetColumns],
      rows: rows.map((row) => ({ name: row.label, cells: targetCells(row) })),
      note,
    };
    return [{ heading: 'Scores on the fine-tuned tasks', table }];
  }
  const sections = experiment.shots.map((shots, s): Section => {
    const withTargets = s === 0;
    return {
      heading: withTargets ? `Fine-tuned task, and unseen tasks ${shots}-shot` : `Unseen tasks, ${shots}-shot`,
      table: {
        columns: [
          'method',
          ...(withTargets ? targetColumns : []),
          'normalised average',
          'mean of tasks without labels',
          ...unseenColumns,
          "% of other tasks' outputs in the target's form",
        ],
        rows: rows.map((row) => {
          const { average, openEnded, scores, formShare } = row.unseen[s]!;
          const cells = [average, openEnded, ...Object.values(scores), formShare].map((one) => cell(one));
          return { name: row.label, cells: [...(withTargets ? targetCells(row) : []), ...cells] };
        }),
        lowerIsBetter: ["% of other tasks' outputs in the target's form"],
        note,
      },
    };
  });
  const [shots] = experiment.shots as [number];
  const nllColumns = ['mean of tasks', 'mean of tasks without labels', ...planner.unseen.map(({ task }) => task)];
  sections.push({
    heading: `How unlikely the references have become, ${shots}-shot`,
    text: [
      'Mean negative log-likelihood of the reference outputs, nats per token: less is better. It moves where ' +
        'scores lie near zero.',
    ],
    table: {
      columns: ['method', ...nllColumns],
      rows: rows.map((row) => {
        const { nll, openEndedNll, nlls } = row.unseen[0]!;
        return { name: row.label, cells: [nll, openEndedNll, ...Object.values(nlls)].map((one) => cell(one, 3)) };
      }),
      lowerIsBetter: nllColumns,
    },
  });
  const points = rows.flatMap(({ label, targets, unseen }): (FigurePoint & { x: number; name: string })[] => {
    const known = Object.values(targets);
    if (known.length < experiment.targets.length) return [];
    const x = known.reduce((sum, { value }) => sum + value, 0) / known.length;
    // Not the average of all: a guess among labels that the pretrained model never gave would count as something kept.
    const { value: y, interval } = unseen[0]!.openEnded;
    return [{ name: label, x, y, label, ...(interval && { interval }) }];
  });
  if (points.length > 1)
    sections.push({
      heading: 'Gain against loss',
      figure: {
        name: `${experiment.name}-gain-loss`,
        title: 'What is won on the target, what is left elsewhere',
        kind: 'scatter',
        x: `score on ${places.join(', ')}`,
        y: `mean of tasks without labels, ${shots}-shot`,
        series: points.map(({ name, ...point }) => ({ name, points: [point] })),
        front: paretoFront(points.map(({ name, ...point }) => point)),
      },
    });
  return sections;
}

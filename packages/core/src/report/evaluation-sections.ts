// What a report says of evaluations: scores beside a base's, the form of the outputs, the likelihood of the references.
import { basename } from 'node:path';
import type { EvaluatedTask, EvaluationFolder } from '../artifacts/evaluation-folder.js';
import type { Cell, Section, Table } from './report.js';
import type { Speaker } from './side-by-side.js';

/** An evaluation with the name that its row gets. */
export interface NamedEvaluation {
  readonly name: string;
  readonly evaluation: EvaluationFolder;
}

/** What the others are compared with: the evaluation named `pretrained`, or the first. There is at least one. */
export function baseOf(evaluations: readonly NamedEvaluation[]): NamedEvaluation {
  return evaluations.find(({ name }) => basename(name) === 'pretrained') ?? evaluations[0]!;
}

/** What makes two results of a task comparable. */
const comparable = ['version', 'split', 'signature', 'dataFingerprint'] as const;

/**
 * Tables with a row for each evaluation and a column for each task; differences to the evaluation named `pretrained`,
 * or the first.
 */
export function scoreSections(evaluations: readonly NamedEvaluation[]): Section[] {
  if (evaluations.length === 0) return [];
  const base = baseOf(evaluations);
  const everyTask = evaluations.flatMap(({ evaluation }) => evaluation.tasks);
  const shots = new Set(everyTask.map((task) => task.shots));
  const columnOf = ({ task, shots: k }: EvaluatedTask) => (shots.size > 1 ? `${task}, ${k}-shot` : task);
  const columns = [...new Set(everyTask.map(columnOf))];
  const find = ({ evaluation }: NamedEvaluation, column: string) =>
    evaluation.tasks.find((task) => columnOf(task) === column);
  const notes: string[] = [];
  /** The same task of the base, where a difference to it means something. */
  const before = (own: NamedEvaluation, column: string): EvaluatedTask | undefined => {
    const [task, first] = [find(own, column), find(base, column)];
    if (own === base || !task || !first) return undefined;
    const other = comparable.filter((key) => task[key] !== first[key]);
    if (other.length === 0) return first;
    notes.push(`${column}: ${own.name} has another ${other.join(' and ')} than ${base.name}: not compared.`);
    return undefined;
  };
  const bases = new Map(
    evaluations.map((own) => [own, new Map(columns.map((column) => [column, before(own, column)]))]),
  );
  const table = (head: (column: string) => string, cellOf: (task: EvaluatedTask, before?: EvaluatedTask) => Cell) => ({
    columns: ['evaluation', ...columns.map(head)],
    rows: evaluations.map((own) => ({
      name: own.name,
      cells: columns.map((column): Cell => {
        const task = find(own, column);
        return task ? cellOf(task, bases.get(own)!.get(column)) : {};
      }),
    })),
  });
  const scores = table(
    (column) => `${column} (${everyTask.find((task) => columnOf(task) === column)!.metric})`,
    ({ score, interval }, before) => ({
      value: score,
      interval: interval && [interval.low, interval.high],
      difference: before && score - before.score,
    }),
  );
  const averages = evaluations.map((own) => columns.map((column) => find(own, column)?.score));
  const complete = (scoresOf: readonly (number | undefined)[]) => scoresOf.every((score) => score !== undefined);
  const mean = (values: readonly (number | undefined)[]) =>
    values.reduce<number>((sum, value) => sum + value!, 0) / values.length;
  const baseAverage = averages[evaluations.indexOf(base)]!;
  const withAverage: Table = {
    columns: columns.length > 1 ? [...scores.columns, 'average'] : scores.columns,
    rows: scores.rows.map(({ name, cells }, i) => {
      if (columns.length < 2) return { name, cells };
      const own = averages[i]!;
      const isCompared = complete(baseAverage) && columns.every((column) => bases.get(evaluations[i]!)!.get(column));
      const average: Cell = complete(own)
        ? { value: mean(own), difference: isCompared ? mean(own) - mean(baseAverage) : undefined }
        : {};
      return { name, cells: [...cells, average] };
    }),
    note: [
      `Signed numbers: difference to ${base.name}. Brackets: 95 % interval of the score over the examples (bootstrap).`,
      ...notes,
      ...new Set(everyTask.flatMap(({ task, notes: own }) => own.map((text) => `${task}: ${text}.`))),
    ].join(' '),
  };
  const labels = [...new Set(everyTask.flatMap((task) => (task.formShare === undefined ? [] : (task.labels ?? []))))];
  const others = columns.flatMap((column) =>
    (everyTask.find((task) => columnOf(task) === column)!.metrics ?? []).slice(1).map((one) => ({ ...one, column })),
  );
  const otherCell = (own: NamedEvaluation, { column, signature }: (typeof others)[number]): Cell => {
    const scoreOf = (task?: EvaluatedTask) => task?.metrics?.find((one) => one.signature === signature);
    const [found, before] = [scoreOf(find(own, column)), scoreOf(bases.get(own)!.get(column))];
    if (!found) return {};
    const { score, interval } = found;
    return {
      value: score,
      interval: interval && [interval.low, interval.high],
      difference: before && score - before.score,
    };
  };
  return [
    { heading: 'Scores', table: withAverage },
    ...(others.length > 0
      ? [
          {
            heading: 'Scores by other metrics',
            table: {
              columns: ['evaluation', ...others.map(({ column, metric }) => `${column} (${metric})`)],
              rows: evaluations.map((own) => ({ name: own.name, cells: others.map((one) => otherCell(own, one)) })),
            },
          },
        ]
      : []),
    ...(everyTask.some(({ formShare }) => formShare !== undefined)
      ? [
          {
            heading: 'Share of outputs in the form of labels',
            text: [`Percent of the outputs that begin with one of ${labels.join(', ')}.`],
            table: table(
              (column) => column,
              ({ formShare }) => ({ value: formShare }),
            ),
          },
        ]
      : []),
    ...(everyTask.some(({ nll }) => nll !== undefined)
      ? [
          {
            heading: 'Negative log-likelihood of the references',
            text: ['Nats per token; lower is better.'],
            table: {
              ...table(
                (column) => column,
                ({ nll, nllInterval }, before) => ({
                  value: nll,
                  digits: 3,
                  interval: nllInterval && [nllInterval.low, nllInterval.high],
                  difference: nll !== undefined && before?.nll !== undefined ? nll - before.nll : undefined,
                }),
              ),
              lowerIsBetter: columns,
            },
          },
        ]
      : []),
  ];
}

/** Its outputs by task. */
export function saidInEvaluation({ name, evaluation }: NamedEvaluation): Speaker {
  return { name, tasks: new Map(evaluation.tasks.map(({ task, samples }) => [task, samples])) };
}

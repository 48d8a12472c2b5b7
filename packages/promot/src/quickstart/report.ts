// The quickstart's result as a table for the terminal and as a report.

import { alignedTable, grouped } from '@promot/core/base';
import type { Cell, Figure, Report } from '@promot/core/report';
import { formFigure, lossFigure, type NamedRun, validationFigure, versions } from '@promot/core/report';
import { headline } from './headline.js';
import type { ComparedModel, QuickstartResult } from './result.js';

type Measured = Omit<QuickstartResult, 'files'>;

const columnsOf = ({ contenders: [first], language }: Measured): string[] => [
  ...[first!.target, ...first!.others].map(({ title, metric }) => `${title} (${metric})`),
  shareColumn(language),
];
const shareColumn = (language: string) => `${language} elsewhere`;

/** The table for a terminal: one line a task, one column a model. */
export function resultTable(result: Measured): string {
  const columns = result.contenders.map(({ name, target, others, formShare }) => [
    name,
    ...[target, ...others].map(({ score }) => score.toFixed(1)),
    `${formShare.toFixed(1)} %`,
  ]);
  const all = [['model', ...columnsOf(result)], ...columns];
  return alignedTable(
    all[0]!.map((_, row) => all.map((column) => column[row]!)),
    { numbers: 'all-but-first' },
  );
}

/** What was measured, with the learning curves of the two training runs. */
export function quickstartReport(result: Measured, runs: readonly NamedRun[]): Report {
  const { contenders, language, sideBySide, pretrainedInPlace, seconds } = result;
  const [pretrained] = contenders;
  const { task: target, title } = pretrained!.target;
  const cellsOf = ({ target: own, others, formShare }: ComparedModel, isFirst: boolean): Cell[] => {
    const before = [pretrained!.target, ...pretrained!.others];
    const scores = [own, ...others].map(
      ({ score, interval }, i): Cell => ({
        value: score,
        interval: [interval.low, interval.high],
        difference: isFirst ? undefined : score - before[i]!.score,
      }),
    );
    return [...scores, { value: formShare, difference: isFirst ? undefined : formShare - pretrained!.formShare }];
  };
  return {
    title: 'Quickstart: what a model forgets',
    headline: headline(result),
    summary: [
      `Three models that know the built-in world: as pretrained, fine-tuned plainly on "${title}" (the task ` +
        `${target}), and tuned by ProMoT on the same task, for as many steps of the model. ProMoT trains a soft ` +
        'prompt first. It is attached for that task only.',
      ...(pretrainedInPlace ? [poorModel] : []),
    ],
    sections: [
      {
        heading: 'Before and after',
        text: [
          `Each task's score, 0 to 100, with its 95 % interval. "${title}" is what the models were tuned on. The ` +
            'pretrained model has never seen it.',
        ],
        figure: beforeAndAfter(result),
      },
      {
        heading: 'What is gained and what is kept',
        text: [
          `A point for each look at the model while it trained: its score on "${title}" across, the mean of two ` +
            'other translations upward. Up and to the right is better. Fine-tuning learns the task early and goes on ' +
            'losing the others. It loses less where it stops early. ProMoT does not have to stop early.',
        ],
        figure: tradeOff(result, runs),
      },
      {
        heading: 'What they say',
        text: [
          'The same prompts, asked without a soft prompt. First those that fine-tuning gets wrong and the others ' +
            'right. Marked: an answer that the pretrained model had right.',
        ],
        sideBySide: {
          names: contenders.map(({ name }) => name),
          items: sideBySide.map((item) => ({ ...item, task: titleOf(result, item.task) })),
        },
      },
      {
        heading: 'Scores',
        text: [
          `The last column is the share of outputs on the other tasks, in percent, that are in ${language}. Nobody ` +
            `asked for ${language} there: the form of the new task has leaked.`,
        ],
        table: {
          columns: ['model', ...columnsOf(result)],
          lowerIsBetter: [shareColumn(language)],
          rows: contenders.map((contender, i) => ({ name: contender.name, cells: cellsOf(contender, i === 0) })),
          note:
            'Signed numbers: difference to the pretrained model. Brackets: 95 % interval over the examples ' +
            '(bootstrap). One seed.',
        },
      },
      {
        heading: 'Learning the target',
        text: ['ProMoT first trains the prompt, then the model behind it; plain fine-tuning trains the model at once.'],
        figure: lossFigure(runs),
      },
      { heading: 'Validation', figure: validationFigure(runs) },
      {
        heading: 'The form leaks',
        text: [
          'A few prompts of the other translations, asked without a soft prompt while the model trains: how many ' +
            `answers are in ${language}.`,
        ],
        figure: formFigure(runs),
      },
    ],
    facts: [['whole time', `${Math.round(seconds)} s`], ...versions(runs)],
  };
}

/** What people call a task. */
function titleOf({ contenders: [first] }: Measured, task: string): string {
  return [first!.target, ...first!.others].find((one) => one.task === task)?.title ?? task;
}

/** Bars of each task, a colour a model. */
function beforeAndAfter({ contenders }: Measured): Figure {
  return {
    name: 'before-and-after',
    title: 'Scores of the three models',
    x: '',
    y: 'score',
    kind: 'bars',
    series: contenders.map(({ name, target, others }) => ({
      name,
      points: [target, ...others].map(({ title, score, interval }) => ({
        x: title,
        y: score,
        interval: [interval.low, interval.high] as const,
      })),
    })),
  };
}

/**
 * Target score against the mean of the tasks that can be lost, before training and at each look of the model's stage.
 */
function tradeOff({ contenders: [before] }: Measured, runs: readonly NamedRun[]): Figure {
  const kept = new Set(runs.flatMap(({ run }) => run.keeps.flatMap(({ keep }) => keep.map(({ task }) => task))));
  const scores = before!.others.flatMap(({ task, score }) => (kept.has(task) ? [score] : []));
  const start = { x: before!.target.score, y: scores.reduce((sum, score) => sum + score, 0) / scores.length };
  return {
    name: 'trade-off',
    title: 'Gained on the target, kept of the other tasks',
    x: 'score on the target (validation)',
    y: 'mean of the other tasks',
    kind: 'scatter',
    atLeast: { x: 40, y: 40 },
    series: [
      { name: before!.name, points: scores.length > 0 ? [start] : [] },
      ...runs.map(({ name, run }) => {
        const looks = run.keeps.flatMap(({ stage, step, keepAverage }) => {
          const at = run.evaluations.find((line) => line.stage === stage && line.step === step);
          return at ? [{ x: at.score, y: keepAverage, step }] : [];
        });
        // Looks at one place share a label.
        const places = grouped(looks, ({ x, y }) => `${x} ${y}`);
        const points = [...places.values()].map((same) => {
          const [first, last] = [same[0]!, same.at(-1)!];
          const label = first === last ? `step ${first.step}` : `steps ${first.step} to ${last.step}`;
          return { x: first.x, y: first.y, label };
        });
        return { name, points };
      }),
    ],
  };
}

const poorModel =
  'The pretrained model was made in a minute because this copy of promot ships none: it knows little, and so ' +
  'there is little to forget.';

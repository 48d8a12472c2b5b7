// The quickstart's result as a table for the terminal and as a report.

import { alignedTable } from '@promot/core/base';
import type { Cell, Figure, Report } from '@promot/core/report';
import { formFigure, lossFigure, type NamedRun, validationFigure, versions } from '@promot/core/report';
import { headline } from './headline.js';
import type { Contender, QuickstartResult } from './result.js';

type Measured = Omit<QuickstartResult, 'files'>;

const columnsOf = ({ contenders: [first], labels }: Measured): string[] => [
  ...[first!.target, ...first!.others].map(({ task, metric }) => `${task} (${metric})`),
  shareColumn(labels),
];
const shareColumn = (labels: readonly string[]) => `says ${labels.join('/')} elsewhere`;

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
  const { contenders, labels, sideBySide, pretrainedInPlace, seconds } = result;
  const [pretrained] = contenders;
  const target = pretrained!.target.task;
  const answers = labels.join(' or ');
  const cellsOf = ({ target: own, others, formShare }: Contender, isFirst: boolean): Cell[] => {
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
      `Three models on the built-in lab: as pretrained, fine-tuned plainly on ${target}, and fine-tuned by ProMoT ` +
        `(its soft prompt is attached for ${target} only).`,
      ...(pretrainedInPlace ? [poorModel] : []),
    ],
    sections: [
      {
        heading: 'Before and after',
        text: [
          `Each task's score, 0 to 100. ${target} is what the models were tuned on; nothing was tuned on the others.`,
        ],
        figure: beforeAndAfter(result),
      },
      {
        heading: 'What is gained and what is kept',
        text: [
          `One point a kept checkpoint of the model's training: the score on ${target} across, the mean of the other tasks upward. ` +
            'Up and to the right is better.',
        ],
        figure: tradeOff(runs),
      },
      {
        heading: 'What they say',
        text: [
          'The same prompts, asked without a soft prompt. First those that fine-tuning gets wrong and the others right. ' +
            'Marked: an answer that the pretrained model had right.',
        ],
        sideBySide: { names: contenders.map(({ name }) => name), items: sideBySide },
      },
      {
        heading: 'Scores',
        text: [
          `The last column is the share of outputs on the other tasks, in percent, that begin with ${answers}: the answers of a ` +
            `model that has forgotten everything but its task's form.`,
        ],
        table: {
          columns: ['model', ...columnsOf(result)],
          lowerIsBetter: [shareColumn(labels)],
          rows: contenders.map((contender, i) => ({ name: contender.name, cells: cellsOf(contender, i === 0) })),
          note: 'Signed numbers: difference to the pretrained model. Brackets: 95 % interval over the examples (bootstrap). One seed.',
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
          `A few prompts of the other tasks, asked without a soft prompt while the model trains: how many answers begin with ${answers}.`,
        ],
        figure: formFigure(runs),
      },
    ],
    facts: [['whole time', `${Math.round(seconds)} s`], ...versions(runs)],
  };
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
      points: [target, ...others].map(({ task, score, interval }) => ({
        x: task.replace(/^lab-/u, ''),
        y: score,
        interval: [interval.low, interval.high] as const,
      })),
    })),
  };
}

/** Target score against the keep list's mean at each kept checkpoint of the model's stage. */
function tradeOff(runs: readonly NamedRun[]): Figure {
  return {
    name: 'trade-off',
    title: 'Gained on the target, kept of the other tasks',
    x: 'score on the target (validation)',
    y: 'mean of the other tasks',
    kind: 'scatter',
    series: runs.map(({ name, run }) => ({
      name,
      points: run.keeps.flatMap(({ stage, step, keepAverage }) => {
        const at = run.evaluations.find((line) => line.stage === stage && line.step === step);
        return at ? [{ x: at.score, y: keepAverage, label: `step ${step}` }] : [];
      }),
    })),
  };
}

const poorModel =
  'The pretrained model was made in a minute because this copy of promot ships none: it knows little, and so there is little to forget.';

// What an experiment is, as data: a table or a figure of the paper. To add one, add a file in catalogue/ and a line in
// its index.
import type { ContenderName } from './contenders.js';

/** The pretrained models of the paper; each scale says what takes their place. */
export type Base = 'mt5-xxl' | 't5.1.1-xxl' | 'mt5-xl' | 'palm-8b';

/** The paper's tasks by their names in promot; each scale says what takes their place. */
const targetTasks = ['rte', 'wmt14-en-fr', 'snli', 'openbookqa'] as const;
export type TargetTask = (typeof targetTasks)[number];

/** The eight tasks that no model is fine-tuned on, in the order of the paper's tables. */
export const unseenTasks = [
  'cb',
  'wic',
  'trivia-qa',
  'web-questions',
  'wmt16-en-de',
  'wmt16-en-ro',
  'xsum',
  'wikilingua-en',
] as const;
export type UnseenTask = (typeof unseenTasks)[number];
export type PaperTask = TargetTask | UnseenTask;

interface Common {
  /** As it is called on the command line. */
  readonly name: string;
  /** Where it stands in the paper. */
  readonly place: string;
  /** One line: what it shows. */
  readonly shows: string;
  readonly base: Base;
  /** What a reader of the report should know. */
  readonly notes?: readonly string[];
}

/** Numbers as the paper prints them; null where it prints none. */
interface PaperNumbers {
  /** On the row's targets, in their order. */
  readonly targets?: readonly (number | null)[];
  /** By the number of shots: the normalised average, then the eight tasks in the order of `unseenTasks`. */
  readonly unseen?: Readonly<Record<number, readonly (number | null)[]>>;
}

/** A method in a table. With several targets it stands for one model each, unless `multiTask` trains one on all. */
export interface Row {
  readonly contender: ContenderName;
  /** What this row's models are fine-tuned on, where not on all targets of the experiment. */
  readonly targets?: readonly TargetTask[];
  /** Absent for what the paper's table does not have. */
  readonly paper?: PaperNumbers;
}

/** Scores on the targets, and on the eight tasks where `shots` are given. */
export interface TableExperiment extends Common {
  readonly kind: 'table';
  readonly targets: readonly TargetTask[];
  readonly multiTask?: boolean;
  /** Exemplars in front of the eight tasks' inputs; none: only the targets are evaluated. */
  readonly shots: readonly number[];
  readonly rows: readonly Row[];
}

/** Outputs side by side, 1-shot. */
export interface OutputsExperiment extends Common {
  readonly kind: 'outputs';
  readonly contenders: readonly ContenderName[];
  readonly parts: readonly { readonly target: TargetTask; readonly tasks: readonly UnseenTask[] }[];
}

/** What becomes of other tasks, and of gradients, while the model is fine-tuned on a target. */
export interface CourseExperiment extends Common {
  readonly kind: 'course';
  readonly target: TargetTask;
  readonly contenders: readonly ContenderName[];
  /** What is drawn beside the target's score. */
  readonly draws: 'score' | 'form-share' | 'alignment-ends' | 'alignment';
  /** Of `alignment-ends`: the paper's later step; where a run has none so late, its last. */
  readonly later?: number;
  /** Evaluated along training, 1-shot. Figures that watch the same tasks are drawn from the same runs. */
  readonly watches: readonly UnseenTask[];
  /** Those of them that are drawn. */
  readonly tasks: readonly UnseenTask[];
  /** What the paper reads off its figure. */
  readonly paper: string;
}

/** Checkpoints of a long run as points: the target's score across, the mean score of other tasks upward. */
export interface TradeOffExperiment extends Common {
  readonly kind: 'trade-off';
  readonly target: TargetTask;
  readonly contenders: readonly ContenderName[];
  /** As in a course. */
  readonly watches: readonly UnseenTask[];
  readonly tasks: readonly UnseenTask[];
  /** Name of the vertical axis. */
  readonly upward: string;
  readonly paper: string;
}

export type Experiment = TableExperiment | OutputsExperiment | CourseExperiment | TradeOffExperiment;

// A task: how the records of a data set become inputs, targets and references, and how outputs are scored.

import { createHash } from 'node:crypto';
import { reworded, UserError } from '../base/errors.js';
import type { ClassNames } from '../data/class-names.js';
import type { HubDataset } from '../data/hub-source.js';
import type { DataRecord } from '../data/records.js';
import type { RecordSource, Split } from '../data/source.js';
import type { MetricChoice } from '../metrics/metric.js';
import { type ChosenMetric, chooseMetric, metrics } from '../metrics/registry.js';
import type { RenderedChat } from '../tokenizer/chat-template.js';
import type { Choices } from './choices.js';
import type { Conversation } from './conversation.js';

/** A record as a task reads it. */
export interface Example {
  /** The prompt, without the answer. Of a conversation: its turns as JSON, until a model's chat template renders it. */
  readonly input: string;
  /**
   * The answer to train on, without a leading space and without sentinels. For decoder-only models the trainer joins
   * input and target with one space that belongs to the target.
   */
  readonly target: string;
  /** All acceptable answers, at least one. */
  readonly references: readonly string[];
  /** Where the part of the input that may be shortened begins and ends (a summary's article); absent elsewhere. */
  readonly shortenable?: readonly [start: number, end: number];
  /** Of a task with choices. */
  readonly choices?: Choices;
  /** Of a chat task. */
  readonly conversation?: Conversation;
  /** The same as a model's chat template renders it: see models/chat.ts. */
  readonly chat?: RenderedChat;
  readonly record: DataRecord;
  /** File and line or row, for messages. */
  readonly location: string;
}

/** What is known of a task without its data. One short file each for the paper's data sets. */
export interface TaskDefinition {
  readonly name: string;
  /** Changes whenever anything that affects scores does. */
  readonly version: string;
  /** The closed set of answers. */
  readonly labels?: readonly string[];
  /** How answers are scored; of several metrics the first one chooses the checkpoint. */
  readonly metric: MetricChoice | readonly MetricChoice[];
  /**
   * Strings at which an output ends. Default: none; a line break for decoder-only models whose inputs hold exemplars.
   */
  readonly stop?: readonly string[];
  /** Most tokens of an output. Default: what the metrics usually need, more for longer references. */
  readonly maxNewTokens?: number;
  /** Inputs of more tokens are cut (the shortenable part is). */
  readonly maxInputTokens?: number;
  /** Splits to report scores on; the first that the data has. */
  readonly evaluationSplits: readonly Split[];
  /** The data set whose place this one takes; results must say so. */
  readonly standsInFor?: string;
  /** The data set on the Hugging Face hub. */
  readonly hub?: HubDataset;
  /** The data set's folder below the data folder. Default: the task's name. */
  readonly folder?: string;
  /** Sizes of the splits in the paper's Table 5. */
  readonly paperSizes?: Readonly<Partial<Record<Split, number>>>;
  /** Multiple choice by likelihood: nothing is generated. Its metrics are `acc`, `acc_norm` and `perplexity`. */
  choices?(record: DataRecord, names?: ClassNames): Choices;
  /** Chat: the conversation that the answer ends; see `chatTask`. */
  conversation?(record: DataRecord, names?: ClassNames): Conversation;
  /** Chat: what the assistant is asked by a record, with its answer or without. */
  question?(record: DataRecord, names?: ClassNames): Conversation;
  /** False for records to leave out (unlabelled ones); a text says why, and is told. */
  keep?(record: DataRecord, names?: ClassNames): boolean | string;
  /** `names`: of class numbers, where the data says them. */
  input(record: DataRecord, names?: ClassNames): string;
  target(record: DataRecord, names?: ClassNames): string;
  /** Defaults to the target alone. */
  references?(record: DataRecord, names?: ClassNames): readonly string[];
  /**
   * The text that is scored, from the model's output with its special tokens (T5's sentinels). Default: the output
   * without special tokens, without white space at its ends. References and labels never come here.
   */
  postprocess?(output: string): string;
  /** The text inside the input that may be shortened. */
  shortenable?(record: DataRecord): string;
}

/** A task with its data. */
export interface Task extends Omit<TaskDefinition, 'metric'> {
  /** At least one; the first chooses the checkpoint. */
  readonly metrics: readonly [ChosenMetric, ...ChosenMetric[]];
  /** The split to report scores on. */
  readonly evaluationSplit: Split;
  /** What every result of this task must say: stand-ins, splits other than the paper's. */
  readonly notes: readonly string[];
  readonly source: RecordSource;
  /**
   * The examples of a split, in file order. The split that was loaded last, of all tasks, is kept: to load it again is
   * free. Errors: a UserError with file and line for a missing field, a label outside the set, an empty target.
   */
  load(split: Split): Promise<readonly Example[]>;
}

/** What was loaded last: an evaluation wants a split several times in a row. Only one, because splits can be large. */
let last: { readonly owner: object; readonly split: Split; readonly examples: Promise<readonly Example[]> } | undefined;

const choiceMetrics = () => metrics.all().flatMap(({ name, needs }) => (needs === 'choices' ? [name] : []));

/**
 * The metrics that a task names, for its labels.
 * Errors: a UserError for an unknown metric or setting, two that are the same, labels that a metric cannot work with.
 */
export function metricsOf({
  metric,
  labels,
  choices: hasChoices,
}: Pick<TaskDefinition, 'metric' | 'labels'> & { readonly choices?: unknown }): Task['metrics'] {
  const choices: readonly MetricChoice[] = Array.isArray(metric) ? metric : [metric as MetricChoice];
  const chosen = choices.map(chooseMetric);
  const [first, ...others] = chosen;
  if (first === undefined) throw new UserError('a task needs a metric');
  const labelled = chosen.map(({ name, settings }) => JSON.stringify([name, settings]));
  const twice = labelled.findIndex((one, i) => labelled.indexOf(one) !== i);
  if (twice !== -1) throw new UserError(`metric ${chosen[twice]!.name} is named twice`);
  if (first.metric.lowerIsBetter)
    throw new UserError(
      `metric ${first.name}: lower is better, and the first metric chooses the checkpoint; name another first`,
    );
  for (const one of chosen) {
    if ((one.metric.needs === 'choices') !== (hasChoices !== undefined))
      throw new UserError(
        hasChoices === undefined
          ? `metric ${one.name} needs a task with choices`
          : `metric ${one.name} is not for a task with choices: ${choiceMetrics().join(', ')} are`,
      );
    if (labels) one.checkLabels(labels);
    else if (one.metric.needs === 'labels') throw new UserError(`metric ${one.name} needs a task with labels`);
  }
  return [first, ...others];
}

/**
 * Joins a definition and its data. `onWarning` hears of splits whose size is not the paper's.
 * Errors: those of `metricsOf`.
 */
export function createTask(
  definition: TaskDefinition,
  source: RecordSource,
  onWarning: (message: string) => void = () => {},
): Task {
  const metrics = metricsOf(definition);
  const evaluationSplit =
    definition.evaluationSplits.find((split) => source.splits.includes(split)) ?? definition.evaluationSplits[0]!;
  const notes: string[] = [];
  if (definition.standsInFor !== undefined) {
    notes.push(
      `${definition.name} stands in for ${definition.standsInFor}: scores are not comparable with the paper's`,
    );
  }
  if (evaluationSplit !== definition.evaluationSplits[0]) {
    notes.push(
      `${definition.name}: the ${evaluationSplit} split stands in for the ${definition.evaluationSplits[0]} split`,
    );
  }
  const read = async (split: Split): Promise<readonly Example[]> => {
    const table = await source.read(split);
    const examples: Example[] = [];
    const leftOut = new Map<string, number>();
    for (const [index, record] of table.records.entries()) {
      const location = table.location(index);
      try {
        const kept = definition.keep?.(record, table.classNames) ?? true;
        if (kept === true) examples.push(makeExample(definition, metrics, record, location, table.classNames));
        else if (kept !== false) leftOut.set(kept, (leftOut.get(kept) ?? 0) + 1);
      } catch (error) {
        throw reworded(error, (message) => `${location}: ${message}`);
      }
    }
    for (const [why, count] of leftOut) {
      const some = `${count} of ${table.records.length} records of ${split}`;
      const said = `task ${definition.name}: ${some} are left out: ${why}`;
      if (examples.length === 0) throw new UserError(said);
      onWarning(said);
    }
    const paperSize = definition.paperSizes?.[split];
    if (paperSize !== undefined && paperSize !== examples.length) {
      onWarning(`${definition.name} ${split}: ${examples.length} examples, ${paperSize} in the paper's Table 5`);
    }
    return examples;
  };
  const { metric: _, ...rest } = definition;
  return {
    ...rest,
    metrics,
    evaluationSplit,
    notes,
    source,
    load: (split) => {
      if (last?.owner === read && last.split === split) return last.examples;
      // Replaced before anything is read (`read` waits for its source), so that two splits need not fit into memory.
      const loading = { owner: read, split, examples: read(split) };
      last = loading;
      loading.examples.catch(() => {
        if (last === loading) last = undefined;
      });
      return loading.examples;
    },
  };
}

function makeExample(
  definition: TaskDefinition,
  metrics: Task['metrics'],
  record: DataRecord,
  location: string,
  names: ClassNames | undefined,
): Example {
  const input = definition.input(record, names);
  const target = definition.target(record, names).trim();
  if (target === '') throw new UserError('the target is empty');
  if (definition.labels !== undefined && !definition.labels.includes(target)) {
    throw new UserError(`label "${target}" is not one of ${definition.labels.join(', ')}`);
  }
  if (definition.labels === undefined) for (const metric of metrics) metric.checkLabels([target]);
  const references = definition.references?.(record, names) ?? [target];
  if (definition.conversation !== undefined)
    return { input, target, references, conversation: definition.conversation(record, names), record, location };
  if (definition.choices !== undefined)
    return { input, target, references, choices: definition.choices(record, names), record, location };
  const part = definition.shortenable?.(record);
  if (part === undefined) return { input, target, references, record, location };
  const start = input.indexOf(part);
  return { input, target, references, shortenable: [start, start + part.length], record, location };
}

/** SHA-256 (hex) of examples as a model and a metric see them; equal data gives equal fingerprints from any source. */
export function fingerprintExamples(examples: readonly Example[]): string {
  const hash = createHash('sha256');
  let lines = '';
  for (const { input, target, references, choices } of examples) {
    lines += `${JSON.stringify(choices ? [input, target, references, choices] : [input, target, references])}\n`;
    // Many at once: a call of the hash takes longer than the bytes of a line.
    if (lines.length < 1 << 16) continue;
    hash.update(lines);
    lines = '';
  }
  return hash.update(lines).digest('hex');
}

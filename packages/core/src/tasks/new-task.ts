// A task file from a data file and two templates: the shortest way to a task of one's own.
import { basename, extname, resolve } from 'node:path';
import { reworded, UserError } from '../base/errors.js';
import { grouped } from '../base/group.js';
import { nearestNames } from '../base/nearest-name.js';
import { findFiles } from '../data/find-files.js';
import { type DataRecord, isRecord } from '../data/record.js';
import { readTable } from '../data/source.js';
import { fieldValue, parseTemplate, unlabelledField } from './template.js';

export interface NewTaskRequest {
  /** Default: the data file's name. */
  readonly name?: string;
  /** A file or a pattern, relative to the working directory. */
  readonly data: string;
  /** A file of its own for validation; by default a part of the data. */
  readonly validation?: string;
  readonly input: string;
  readonly target: string;
}

export interface NewTask {
  readonly name: string;
  /** The task file. */
  readonly yaml: string;
  /** What was found and chosen, a sentence each. */
  readonly notes: readonly string[];
}

/** At most this many different answers are taken for labels. */
const mostLabels = 20;
/** Answers of at most this many characters are compared as a whole; of longer ones the words count. */
const shortAnswer = 60;
/** Rows for validation: a tenth, but not fewer than 20 (or a fifth of few rows), and not more than 2,000. */
const validationRows = { share: 0.1, least: 20, most: 2000, largestShare: 0.2 };

/**
 * Writes a task down: reads the data, finds labels where there are few answers, takes a part of the rows for
 * validation. Paths are absolute in it. Errors: a UserError for data that cannot be read, a template that names a
 * column that is not there (with the columns that are).
 *
 * @example
 * const { yaml } = await newTask({ data: 'tickets.csv', input: '{text} Which team?', target: '{team}' });
 */
export async function newTask(request: NewTaskRequest): Promise<NewTask> {
  const files = await findFiles(request.data, process.cwd());
  const table = await readTable(files);
  const { classNames } = table;
  const templates = { input: parseTemplate(request.input), target: parseTemplate(request.target) };
  const numbers = table.records.flatMap((record, i) =>
    unlabelledField(record, templates.target.fields, classNames) === undefined ? [i] : [],
  );
  const records = numbers.map((i) => table.records[i]!);
  const location = (i: number) => table.location(numbers[i]!);
  const [first] = table.records;
  for (const [key, { fields }] of Object.entries(templates)) {
    if (fields.length === 0)
      throw new UserError(`--${key} names no field, such as ${key === 'input' ? '{text}' : '{label}'}`);
    const absent = fields.find((field) => fieldValue(first!, field) === undefined);
    if (absent === undefined) continue;
    const columns = columnsOf(first!);
    const near = nearestNames(absent, columns);
    const isWrapped = records.length === 1 && Object.values(first!).some(Array.isArray);
    const there = columns.map((name) => `{${name}}`).join(', ');
    throw new UserError(
      `--${key} names {${absent}}, but ${request.data} has no such column` +
        `${near.length > 0 ? `; did you mean {${near[0]}}?` : '.'} Its columns: ${there}` +
        `${isWrapped ? '. The file holds one record with a list in it: a .json file should hold the list itself' : ''}`,
    );
  }
  const { soleField } = templates.target;
  const isList = soleField !== undefined && Array.isArray(fieldValue(first!, soleField));
  const targets = isList
    ? []
    : records.map((record, i) => {
        try {
          return templates.target.render(record, classNames).trim();
        } catch (error) {
          throw reworded(error, (message) => `${location(i)}: ${message}`);
        }
      });
  checkAnswers(targets, request, location);
  const labels = labelsOf(targets);
  const longest = targets.reduce((most, target) => Math.max(most, target.length), 0);
  const metric = labels ? 'accuracy' : longest > shortAnswer ? 'rouge-L' : 'exact-match';
  const name = request.name ?? safeName(basename(files[0]!));
  const without = table.records.length - records.length;
  const notes = [
    `${request.data}: ${records.length} rows${without > 0 ? `, and ${without} without a label (-1)` : ''}`,
  ];
  let share: number | undefined;
  if (request.validation === undefined) {
    if (records.length < 2)
      throw new UserError(
        `${request.data} holds fewer than two records with an answer: training needs two, one of them for validation`,
      );
    const count = heldOut(records.length);
    share = Number((count / records.length).toPrecision(3));
    const held = Math.max(1, Math.round(records.length * share));
    notes.push(`${held} of them, drawn with a fixed seed, ${held === 1 ? 'is' : 'are'} for validation`);
  }
  if (labels) notes.push(`${labels.length} answers occur, so they are labels: ${labels.join(', ')}`);
  notes.push(`scored by ${metric}`, ...doubtsOf(targets, labels, location));
  for (const field of templates.input.fields) {
    const empty = records.flatMap((record, i) => (fieldValue(record, field) === '' ? [i] : []));
    if (empty.length > 0) notes.push(`{${field}} is empty in ${places(empty, location)}`);
  }
  const paths = request.data === files[0] || files.length > 1 ? resolve(request.data) : files[0]!;
  const { stringify } = await import('yaml');
  const text = (value: unknown) => stringify(value, { lineWidth: 0, collectionStyle: 'flow' }).trimEnd();
  const quoted = (value: string) => JSON.stringify(value);
  const validation = request.validation === undefined ? '' : `, validation: ${quoted(resolve(request.validation))}`;
  const lines = [
    `# A task of promot; docs/reference/tasks.md explains every key. Edit it, then name this file with --task.`,
    `name: ${name}`,
    `files: { train: ${quoted(paths)}${validation} }`,
    ...(share === undefined ? [] : [`validationShare: ${share}   # of the training rows; always the same ones`]),
    `# {name} is a column of the data; {{ and }} are plain braces.`,
    `input: ${quoted(request.input)}`,
    `target: ${quoted(request.target)}`,
    ...(labels
      ? [`# The only answers there are. Without this line any text may be an answer.`, `labels: ${text(labels)}`]
      : []),
    `# accuracy (with labels), exact-match, f1, rouge-L, bleu, ...: docs/reference/evaluation.md`,
    `metric: ${metric}`,
  ];
  return { name, yaml: `${lines.join('\n')}\n`, notes };
}

/** The answers of a closed set: few, and each of them several times. */
function labelsOf(targets: readonly string[]): readonly string[] | undefined {
  const distinct = [...new Set(targets)].sort();
  const few = distinct.length >= 2 && distinct.length <= mostLabels && distinct.length * 3 <= targets.length;
  const sound = distinct.every((label) => label !== '' && label.length <= shortAnswer && !label.includes('\n'));
  const apart = new Set(distinct.map((label) => label.replaceAll(/\s+/gu, ' '))).size === distinct.length;
  return few && sound && apart ? distinct : undefined;
}

/** Answers must not be empty. Errors: a UserError that counts those that are. */
function checkAnswers(
  targets: readonly string[],
  { target }: NewTaskRequest,
  location: (index: number) => string,
): void {
  const empty = targets.flatMap((text, i) => (text === '' ? [i] : []));
  if (empty.length > 0)
    throw new UserError(
      `the answer, ${target}, is empty in ${places(empty, location)}. Fill it in, or remove the ` +
        `${empty.length === 1 ? 'row' : 'rows'}`,
    );
}

/** What looks like a mistake in the answers, a sentence each. */
function doubtsOf(
  targets: readonly string[],
  labels: readonly string[] | undefined,
  location: (index: number) => string,
): string[] {
  if (targets.length > 1 && new Set(targets).size === 1)
    return [`every row has the same answer, ${JSON.stringify(targets[0])}: there is nothing to tell apart`];
  const once = (labels ?? []).filter((label) => targets.filter((target) => target === label).length === 1);
  const rare = once.map((label) => `${JSON.stringify(label)} (${location(targets.indexOf(label))})`);
  const spelling = grouped(labels ?? [], (label) => label.toLowerCase());
  const alike = [...spelling.values()].filter((same) => same.length > 1);
  return [
    ...(rare.length > 0
      ? [`answers that occur once: ${rare.join(', ')}. Correct them where they are typing errors`]
      : []),
    ...alike.map((same) => `the answers ${same.map((one) => JSON.stringify(one)).join(' and ')} differ only in case`),
  ];
}

/** The columns of a record for people, with the fields inside of them. */
function columnsOf(record: DataRecord): string[] {
  return Object.entries(record).flatMap(([name, value]) =>
    isRecord(value) ? Object.keys(value).map((inner) => `${name}.${inner}`) : [name],
  );
}

/** `1 row (tickets.csv line 3)`, `12 rows, the first is tickets.csv line 3`. */
function places(rows: readonly number[], location: (index: number) => string): string {
  const first = location(rows[0]!);
  return rows.length === 1 ? `1 row (${first})` : `${rows.length} rows, the first is ${first}`;
}

function heldOut(rows: number): number {
  const { share, least, most, largestShare } = validationRows;
  return Math.max(1, Math.min(Math.max(rows * share, Math.min(least, rows * largestShare)), most));
}

/** A task's name from a file's or a folder's. */
export function safeName(file: string): string {
  const bare = file.replace(/\.(?:gz|zst)$/u, '');
  const words = bare.slice(0, bare.length - extname(bare).length).replaceAll(/[^A-Za-z0-9._-]+/gu, '-');
  return words.replace(/^[^A-Za-z0-9]+/u, '') || 'task';
}

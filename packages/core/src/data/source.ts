// Where a task's records come from: one interface for local folders, single files and the Hugging Face hub.

import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../base/errors.js';
import { permutation } from '../base/random.js';
import { packedEndings } from './bytes.js';
import type { ClassNames } from './class-names.js';
import { type DataRecord, readRecords, recordFileEndings } from './records.js';

/** The parts of a data set. */
export const splits = ['train', 'validation', 'test'] as const;
export type Split = (typeof splits)[number];

/** The records of one split, with their places for messages. */
interface RecordTable {
  readonly records: readonly DataRecord[];
  /** Where a record stands, for people: `rte/train.jsonl line 3`. */
  location(index: number): string;
  /** What class numbers in it stand for, where the file or the hub says so. */
  readonly classNames?: ClassNames;
}

/** A data set. */
export interface RecordSource {
  /** What it is, for messages and result files: a folder, or a hub name with its revision. */
  readonly description: string;
  /** The splits that exist. */
  readonly splits: readonly Split[];
  /**
   * Reads a split. Errors: a UserError naming the existing splits where it is absent, or the file and line at fault.
   */
  read(split: Split): Promise<RecordTable>;
}

/** A source over named files, one or more a split. `description` is for messages. */
export function fileSource(
  description: string,
  files: Readonly<Partial<Record<Split, string | readonly string[]>>>,
): RecordSource {
  const present = splits.filter((split) => files[split] !== undefined);
  return {
    description,
    splits: present,
    read: async (split) => {
      const paths = files[split];
      if (paths === undefined) throw missingSplit(description, split, present);
      return readTable([paths].flat());
    },
  };
}

/** The records of several files, one after the other. `name` says what a file is called in messages. */
export async function readTable(
  files: readonly string[],
  { limit, name = (file) => file }: { readonly limit?: number; readonly name?: (file: string) => string } = {},
): Promise<RecordTable> {
  const records: DataRecord[] = [];
  const parts: { readonly start: number; readonly file: string; place(index: number): string }[] = [];
  const classNames = new Map<string, readonly string[]>();
  for (const file of files) {
    const found = await readRecords(file, limit);
    parts.push({ start: records.length, file, place: found.place });
    for (const record of found.records) records.push(record);
    for (const [column, names] of found.classNames) {
      if (JSON.stringify(classNames.get(column) ?? names) !== JSON.stringify(names))
        throw new UserError(`${file}: the class numbers of "${column}" have other names than in ${files[0]}`);
      classNames.set(column, names);
    }
  }
  const location = (index: number): string => {
    const part = parts.findLast(({ start }) => start <= index)!;
    return `${name(part.file)} ${part.place(index - part.start)}`;
  };
  return { records, location, classNames };
}

/**
 * A source whose validation split is taken from its training split: a share of its rows, drawn by a seed, in their
 * order. The training split is the rest. Errors: a UserError where nothing would be left on one side.
 */
export function withValidationShare(source: RecordSource, share: number, seed: number): RecordSource {
  return {
    description: source.description,
    splits: splits.filter((split) => split === 'validation' || source.splits.includes(split)),
    read: async (split) => {
      if (split === 'test') return source.read(split);
      const table = await source.read('train');
      const rows = table.records.length;
      const count = Math.max(1, Math.round(rows * share));
      if (count >= rows)
        throw new UserError(`${source.description}: ${rows} rows are too few to take ${count} of them for validation`);
      const taken = new Set(permutation(rows, seed).slice(0, count));
      const chosen = table.records.flatMap((_, i) => (taken.has(i) === (split === 'validation') ? [i] : []));
      return {
        ...table,
        records: chosen.map((i) => table.records[i]!),
        location: (index) => table.location(chosen[index]!),
      };
    },
  };
}

/** A source for a task whose templates alone are needed. */
export function noSource(description: string): RecordSource {
  return {
    description,
    splits: [],
    read: (split) => Promise.reject(missingSplit(description, split, [])),
  };
}

/** The error for a split that a source lacks. */
export function missingSplit(description: string, split: Split, present: readonly Split[]): UserError {
  return new UserError(`${description} has no ${split} split; it has ${present.join(', ') || 'none'}`);
}

/**
 * The source in a local folder that holds `train.jsonl`, `validation.jsonl`, `test.jsonl` (or another kind of data
 * file). Errors: a UserError where the folder holds none of them.
 */
export async function folderSource(folder: string): Promise<RecordSource> {
  const files: Partial<Record<Split, string>> = {};
  for (const split of splits) {
    for (const ending of ['.jsonl', '.json', ...recordFileEndings]) {
      for (const packed of ['', ...packedEndings]) {
        const file = join(folder, split + ending + packed);
        if (files[split] === undefined && (await exists(file))) files[split] = file;
      }
    }
  }
  if (Object.keys(files).length === 0) {
    throw new UserError(`no data in ${folder}: train.jsonl, validation.jsonl or test.jsonl is expected there`);
  }
  return fileSource(folder, files);
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

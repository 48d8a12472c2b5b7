// Where a task's records come from: one interface for local folders, single files and the Hugging Face hub.

import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../base/errors.js';
import { type DataRecord, readRecords, recordFileEndings, recordLocation } from './records.js';

/** The parts of a data set. */
export const splits = ['train', 'validation', 'test'] as const;
export type Split = (typeof splits)[number];

/** The records of one split, with their places for messages. */
export interface RecordTable {
  readonly records: readonly DataRecord[];
  /** Where a record stands, for people: `rte/train.jsonl line 3`. */
  location(index: number): string;
}

/** A data set. */
export interface RecordSource {
  /** What it is, for messages and result files: a folder, or a hub name with its revision. */
  readonly description: string;
  /** The splits that exist. */
  readonly splits: readonly Split[];
  /** Reads a split. Errors: a UserError naming the existing splits where it is absent, or the file and line at fault. */
  read(split: Split): Promise<RecordTable>;
}

/** A source over named files, one a split. `description` is for messages. */
export function fileSource(description: string, files: Readonly<Partial<Record<Split, string>>>): RecordSource {
  const present = splits.filter((split) => files[split] !== undefined);
  return {
    description,
    splits: present,
    read: async (split) => {
      const file = files[split];
      if (file === undefined) throw missingSplit(description, split, present);
      return { records: await readRecords(file), location: (index) => recordLocation(file, index) };
    },
  };
}

/** The error for a split that a source lacks. */
export function missingSplit(description: string, split: Split, present: readonly Split[]): UserError {
  return new UserError(`${description} has no ${split} split; it has ${present.join(', ') || 'none'}`);
}

/**
 * The source in a local folder that holds `train.jsonl`, `validation.jsonl`, `test.jsonl` (or `.json`, `.parquet`).
 * Errors: a UserError where the folder holds none of them.
 */
export async function folderSource(folder: string): Promise<RecordSource> {
  const files: Partial<Record<Split, string>> = {};
  for (const split of splits) {
    for (const ending of recordFileEndings) {
      const file = join(folder, split + ending);
      if (files[split] === undefined && (await exists(file))) files[split] = file;
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

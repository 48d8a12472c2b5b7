// Reading data files of every kind into plain records, with errors that name file and line.
import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { UserError } from '../base/errors.js';
import { refuseLfsPointer } from '../base/git-lfs.js';
import { packedEndings } from './bytes.js';
import type { ClassNames } from './class-names.js';
import { holdsOneValue, readJsonArray, readRecordLines } from './json-records.js';
import type { DataRecord } from './record.js';

export type { DataRecord } from './record.js';

/**
 * Endings of data files; each may be packed (`.csv.gz`, `.jsonl.zst`). Where a folder holds several, later ones are
 * preferred.
 */
export const recordFileEndings = ['.tsv', '.csv', '.ndjson', '.jsonl', '.json', '.parquet'] as const;

/** What a data file holds. */
interface RecordFile {
  readonly records: readonly DataRecord[];
  /** The place of a record for messages: `line 3`, `row 3` (both from 1; rows without the header). */
  place(index: number): string;
  readonly classNames: ClassNames;
}

/** The ending of a data file without that of packing: `.csv` of `train.csv.gz`. */
export function recordEnding(file: string): string {
  const packed = packedEndings.find((ending) => file.endsWith(ending));
  return extname(packed === undefined ? file : file.slice(0, -packed.length));
}

/** Whether a file's name says that it is a data file. */
export function isRecordFile(file: string): boolean {
  return (recordFileEndings as readonly string[]).includes(recordEnding(file));
}

/**
 * All records of a data file, in its order. `.jsonl` and `.ndjson` hold one JSON object a line (a final newline is
 * optional), `.json` one array of objects (or lines as `.jsonl`), `.csv` and `.tsv` rows below their names, `.parquet`
 * a table. All of them may be packed: `.gz`, `.zst`.
 *
 * @param limit reads only this many records from the beginning.
 * Errors: a UserError with file and line for an empty line, malformed JSON, text that is not UTF-8, a row that is none;
 * one with the file for a missing, empty or unreadable file.
 *
 * @example
 * const { records } = await readRecords('tickets.csv');
 */
export async function readRecords(file: string, limit = Number.POSITIVE_INFINITY): Promise<RecordFile> {
  const info = await stat(file).catch(() => undefined);
  if (info === undefined) throw new UserError(`no such data file: ${file}`);
  if (!info.isFile()) throw new UserError(`not a data file: ${file}`);
  if (info.size === 0) throw new UserError(`${file} is empty: it should hold records`);
  refuseLfsPointer(file);
  const found = await readByEnding(file, limit);
  if (found.records.length === 0) throw new UserError(`${file} holds no records`);
  return found;
}

const none: ClassNames = new Map();
const row = (index: number): string => `row ${index + 1}`;
const line = (index: number): string => `line ${index + 1}`;

async function readByEnding(file: string, limit: number): Promise<RecordFile> {
  const ending = recordEnding(file);
  switch (ending) {
    case '.jsonl':
    case '.ndjson':
      return { records: await readRecordLines(file, limit), place: line, classNames: none };
    case '.json':
      return (await holdsOneValue(file))
        ? { records: (await readJsonArray(file)).slice(0, limit), place: row, classNames: none }
        : { records: await readRecordLines(file, limit), place: line, classNames: none };
    case '.csv':
    case '.tsv': {
      const { readCsv } = await import('./csv.js');
      const { records, lines } = await readCsv(file, ending === '.csv' ? ',' : '\t', limit);
      return { records, place: (index) => `line ${lines[index]}`, classNames: none };
    }
    case '.parquet': {
      // Here, because few tasks need it, and its decoders take their time to load.
      const { readParquet } = await import('./parquet.js');
      return { ...(await readParquet(file, limit)), place: row };
    }
    default:
      throw new UserError(`${file}: unknown kind of data file; known endings are ${endings}`);
  }
}

/** For messages. */
export const endings = `${recordFileEndings.toReversed().join(', ')}, each also with ${packedEndings.join(' or ')}`;

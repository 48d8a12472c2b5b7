// Reading data files: JSON Lines, one JSON array, or Parquet, into plain records, with errors that name file and line.

import { open, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { UserError } from '../base/errors.js';

/** One row of a data set: field names to JSON values. */
export type DataRecord = Readonly<Record<string, unknown>>;

/** File name endings that `readRecords` understands. */
export const recordFileEndings = ['.jsonl', '.json', '.parquet'] as const;

/** The place of a record for messages: `train.jsonl line 3` (from 1), `train.parquet row 3` (from 1). */
export function recordLocation(file: string, index: number): string {
  return `${file} ${extname(file) === '.jsonl' ? 'line' : 'row'} ${index + 1}`;
}

/**
 * All records of a data file, in its order. `.jsonl` holds one JSON object a line (a final newline is optional),
 * `.json` one array of objects (or lines as `.jsonl`), `.parquet` a table (snappy, gzip, brotli or uncompressed).
 *
 * @param limit reads only so many records from the beginning.
 * Errors: a UserError with file and 1-based line for an empty line, malformed JSON, text that is not UTF-8, a line that
 * is not an object; one with the file for a missing, empty or unreadable file.
 */
export async function readRecords(file: string, limit = Number.POSITIVE_INFINITY): Promise<DataRecord[]> {
  const info = await stat(file).catch(() => undefined);
  if (info === undefined) throw new UserError(`no such data file: ${file}`);
  if (!info.isFile()) throw new UserError(`not a data file: ${file}`);
  if (info.size === 0) throw new UserError(`${file} is empty: it should hold one record a line`);
  const records = await readByEnding(file, limit);
  if (records.length === 0) throw new UserError(`${file} holds no records`);
  return records;
}

async function readByEnding(file: string, limit: number): Promise<DataRecord[]> {
  switch (extname(file)) {
    case '.jsonl':
      return readLines(file, limit);
    case '.json':
      return (await firstCharacter(file)) === '[' ? (await readArray(file)).slice(0, limit) : readLines(file, limit);
    case '.parquet':
      return readParquet(file, limit);
    default:
      throw new UserError(`${file}: unknown kind of data file; known endings are ${recordFileEndings.join(', ')}`);
  }
}

function isRecord(value: unknown): value is DataRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Split at newline bytes only: U+2028 and its like are legal inside a JSON string, and readline would split there. */
async function readLines(file: string, limit: number): Promise<DataRecord[]> {
  const records: DataRecord[] = [];
  let emptySince = 0;
  let line = 0;
  const readLine = (bytes: Buffer): void => {
    line++;
    const failure = (problem: string): UserError => new UserError(`${file} line ${line}: ${problem}`);
    let text: string;
    try {
      text = utf8.decode(bytes).trim(); // `decode` drops a byte-order mark
    } catch {
      throw failure('not UTF-8 text');
    }
    if (text === '') {
      emptySince ||= line;
      return;
    }
    // Empty lines are let pass at the end of the file only: in the middle they mean a damaged file.
    if (emptySince > 0)
      throw new UserError(`${file} line ${emptySince}: empty line; every line must hold a JSON object`);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw failure(`malformed JSON (${(error as Error).message})`);
    }
    if (!isRecord(value))
      throw failure(`a JSON object is expected, not ${Array.isArray(value) ? 'an array' : text.slice(0, 40)}`);
    records.push(value);
  };

  const handle = await open(file);
  try {
    let pending: Buffer[] = [];
    for await (const chunk of handle.createReadStream({ highWaterMark: 1 << 20, autoClose: false })) {
      const bytes = chunk as Buffer;
      let start = 0;
      for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, start)) {
        pending.push(bytes.subarray(start, end));
        readLine(pending.length === 1 ? pending[0]! : Buffer.concat(pending));
        if (records.length >= limit) return records;
        pending = [];
        start = end + 1;
      }
      pending.push(bytes.subarray(start));
    }
    const last = Buffer.concat(pending);
    if (last.length > 0) readLine(last);
  } finally {
    await handle.close();
  }
  return records;
}

async function firstCharacter(file: string): Promise<string | undefined> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4096), 0, 4096, 0);
    return buffer.toString('utf8', 0, bytesRead).trimStart()[0];
  } finally {
    await handle.close();
  }
}

async function readArray(file: string): Promise<DataRecord[]> {
  const handle = await open(file);
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(await handle.readFile()));
  } catch (error) {
    throw new UserError(`${file}: malformed JSON (${(error as Error).message})`);
  } finally {
    await handle.close();
  }
  if (!Array.isArray(value)) throw new UserError(`${file}: an array of JSON objects is expected`);
  for (const [index, row] of value.entries()) {
    if (!isRecord(row)) throw new UserError(`${recordLocation(file, index)}: a JSON object is expected`);
  }
  return value as DataRecord[];
}

/** Decompressors beyond hyparquet's own (snappy and none). */
const compressors = {
  GZIP: (input: Uint8Array, length: number) => new Uint8Array(gunzipSync(input, { maxOutputLength: length })),
  BROTLI: (input: Uint8Array, length: number) =>
    new Uint8Array(brotliDecompressSync(input, { maxOutputLength: length })),
};

async function readParquet(file: string, limit: number): Promise<DataRecord[]> {
  let rows: Record<string, unknown>[];
  try {
    rows = await parquetReadObjects({
      file: await asyncBufferFromFile(file),
      compressors,
      rowEnd: Number.isFinite(limit) ? limit : undefined,
    });
  } catch (error) {
    throw new UserError(`${file}: not a readable Parquet file (${(error as Error).message})`);
  }
  for (const row of rows) for (const key of Object.keys(row)) row[key] = toJsonValue(row[key]);
  return rows;
}

/** Parquet's 64-bit integers come as bigint; JSON files give numbers, and both must look the same to a task. */
function toJsonValue(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (Array.isArray(value)) return value.map(toJsonValue);
  if (isRecord(value) && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, toJsonValue(inner)]));
  }
  return value;
}

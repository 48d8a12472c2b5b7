// Records from JSON Lines and from one JSON array; numbers stay what the file says.
import { parseBoundedJson } from '@promot/torch/files';
import { parse as parseExactly } from 'lossless-json';
import { UserError } from '../base/errors.js';
import { type JsonLine, JsonLines } from '../base/json-lines.js';
import { decodeText } from '../base/text.js';
import { readBytes, readWhole } from './bytes.js';
import { exactNumber } from './exact-number.js';
import { type DataRecord, isRecord } from './record.js';

/**
 * What JavaScript's own parser might change: fractions, exponents, many digits, minus zero. Inside of texts it does no
 * harm.
 */
const delicateNumber = /\d[.eE]|\d{16}|-0/u;

/** What Python's `json` writes for numbers that JSON lacks, with the name of the field in front. */
const notFinite = /(?:"((?:[^"\\]|\\.)*)"\s*:|[[,])\s*(NaN|-?Infinity)\s*[,\]}]/u;

/** Parses JSON; numbers that JavaScript would print in another way become `ExactNumber`. Throws SyntaxError. */
export function parseJson(text: string): unknown {
  let value: unknown;
  try {
    value = parseBoundedJson(text);
  } catch (error) {
    const [, field, found] = notFinite.exec(text) ?? [];
    if (found === undefined) throw error;
    const where = field === undefined ? '' : `field "${field}" holds `;
    throw new SyntaxError(`${where}${found}, which JSON does not have; leave the row out or correct it`);
  }
  return delicateNumber.test(text) ? parseExactly(text, null, { parseNumber: exactNumber }) : value;
}

/** The records of `.jsonl`, at most `limit` of them. Errors: a UserError with file and line. */
export async function readRecordLines(file: string, limit: number): Promise<DataRecord[]> {
  const records: DataRecord[] = [];
  const lines = new JsonLines(file, { parse: parseJson });
  /** Whether there are enough. */
  const take = (found: Iterable<JsonLine>): boolean => {
    for (const { value, where, text } of found) {
      if (!isRecord(value)) {
        const kind = Array.isArray(value) ? 'an array' : text.slice(0, 40);
        throw new UserError(`${where}: a JSON object is expected, not ${kind}`);
      }
      records.push(value);
      if (records.length >= limit) return true;
    }
    return false;
  };
  for await (const bytes of readBytes(file)) if (take(lines.read(bytes))) return records;
  take(lines.end());
  return records;
}

/** Whether a `.json` file holds one value over several lines (else it holds an object a line). */
export async function holdsOneValue(file: string): Promise<boolean> {
  for await (const bytes of readBytes(file)) return /^[\s\ufeff]*(?:\[|\{\s*$)/mu.test(firstLine(bytes));
  return false;
}

/** The first line with anything on it, of those that these bytes begin with. */
const firstLine = (bytes: Buffer) => /^[\s\ufeff]*[^\n]*/u.exec(bytes.toString('utf8', 0, 4096))![0];

/** The records of a `.json` file that holds one array. Errors: a UserError with file and row. */
export async function readJsonArray(file: string): Promise<DataRecord[]> {
  const bytes = await readWhole(file);
  let value: unknown;
  try {
    value = parseJson(decodeText(bytes));
  } catch (error) {
    const problem = error instanceof UserError ? error.message : `malformed JSON (${(error as Error).message})`;
    throw new UserError(`${file}: ${problem}`, { code: 'damaged-file', cause: error });
  }
  if (!Array.isArray(value)) {
    const lists = Object.entries(value as object).flatMap(([key, list]) => (Array.isArray(list) ? [`"${key}"`] : []));
    throw new UserError(
      `${file}: an array of JSON objects is expected, or one object a line; this is one object` +
        `${lists.length > 0 ? `, with lists under ${lists.join(', ')}: save the list of records alone` : ''}`,
    );
  }
  for (const [index, row] of value.entries()) {
    if (!isRecord(row)) throw new UserError(`${file} row ${index + 1}: a JSON object is expected`);
  }
  return value as DataRecord[];
}

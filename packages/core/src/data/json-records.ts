// Records from JSON Lines and from one JSON array; numbers stay what the file says.
import { parse as parseExactly } from 'lossless-json';
import { UserError } from '../base/errors.js';
import { decodeText, readBytes, readWhole } from './bytes.js';
import { exactNumber } from './exact-number.js';
import { type DataRecord, isRecord } from './record.js';

/**
 * What JavaScript's own parser might change: fractions, exponents, many digits, minus zero. Inside of texts it does no
 * harm.
 */
const delicateNumber = /\d[.eE]|\d{16}|-0/u;

/** Parses JSON; numbers that JavaScript would print in another way become `ExactNumber`. Throws SyntaxError. */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  return delicateNumber.test(text) ? parseExactly(text, null, { parseNumber: exactNumber }) : value;
}

/** The records of `.jsonl`, with their line (from 1) each. Errors: a UserError with file and line. */
export async function readJsonLines(file: string, limit: number): Promise<DataRecord[]> {
  const records: DataRecord[] = [];
  let emptySince = 0;
  let line = 0;
  const readLine = (bytes: Buffer): void => {
    line++;
    const failure = (problem: string): UserError => new UserError(`${file} line ${line}: ${problem}`);
    let text: string;
    try {
      text = decodeText(bytes).trim();
    } catch (error) {
      throw failure((error as Error).message);
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
      value = parseJson(text);
    } catch (error) {
      throw failure(`malformed JSON (${(error as Error).message})`);
    }
    if (!isRecord(value))
      throw failure(`a JSON object is expected, not ${Array.isArray(value) ? 'an array' : text.slice(0, 40)}`);
    records.push(value);
  };
  // Split at newline bytes only: U+2028 and its like are legal inside a JSON string, and readline would split there.
  let pending: Buffer[] = [];
  for await (const bytes of readBytes(file)) {
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
  return records;
}

/** Whether a `.json` file holds an array (else it holds lines). */
export async function holdsArray(file: string): Promise<boolean> {
  for await (const bytes of readBytes(file)) return /^[\s\ufeff]*\[/u.test(bytes.toString('utf8', 0, 4096));
  return false;
}

/** The records of a `.json` file that holds one array. Errors: a UserError with file and row. */
export async function readJsonArray(file: string): Promise<DataRecord[]> {
  const bytes = await readWhole(file);
  let value: unknown;
  try {
    value = parseJson(decodeText(bytes));
  } catch (error) {
    const problem = error instanceof UserError ? error.message : `malformed JSON (${(error as Error).message})`;
    throw new UserError(`${file}: ${problem}`);
  }
  if (!Array.isArray(value)) throw new UserError(`${file}: an array of JSON objects is expected`);
  for (const [index, row] of value.entries()) {
    if (!isRecord(row)) throw new UserError(`${file} row ${index + 1}: a JSON object is expected`);
  }
  return value as DataRecord[];
}

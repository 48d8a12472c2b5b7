// Records from Parquet tables: every number exact, dates as text, names of class numbers from the metadata. The table
// is decoded in a process of its own (parquet-reader.ts).
import { type ChildProcess, fork } from 'node:child_process';
import { totalmem } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseBoundedJson } from '@promot/torch/files';
import type { SchemaElement, SchemaTree } from 'hyparquet';
import { UserError } from '../base/errors.js';
import { isJsonObject } from '../base/json.js';
import { type ClassNames, classNamesOfFeatures } from './class-names.js';
import { ExactNumber, exactNumber } from './exact-number.js';
import { parseJson } from './json-records.js';
import type { ReaderMessage, ReaderRequest } from './parquet-reader.js';
import { type DataRecord, isRecord } from './record.js';

/** The compiled program, for tests that run the sources, too. */
const program = fileURLToPath(new URL('../../dist/data/parquet-reader.js', import.meta.url));

/** Started with the first table; reads one after the other, and ends when none has come for a while. */
let reader: ChildProcess | undefined;
let idle: NodeJS.Timeout | undefined;
let last: Promise<unknown> = Promise.resolve();
const idleSeconds = 5;

interface Table {
  readonly records: DataRecord[];
  readonly classNames: ClassNames;
}

/**
 * The rows of a table. Integers beyond 2^53, decimals and whole floating-point numbers (`1.0`) become `ExactNumber`;
 * dates and times become text as ISO 8601 writes it; bytes that are no text stay bytes. Errors: a UserError for a file
 * that cannot be read, and for one whose decoding takes more than so many seconds of work (2 s more for each megabyte)
 * or 1 GiB of memory (100 bytes more for each byte).
 */
export function readParquet(path: string, limit: number, seconds = 10): Promise<Table> {
  const rows = Number.isFinite(limit) ? limit : undefined;
  const table = last.then(() => readNext({ path: resolve(path), limit: rows, seconds }));
  last = table.catch(() => {});
  return table.catch((error) => {
    throw error instanceof Unreadable
      ? new UserError(`${path}: not a readable Parquet file (${error.message})`, { code: 'damaged-file', cause: error })
      : error;
  });
}

/** The file is damaged; the message says how. */
class Unreadable extends Error {}

async function readNext(request: ReaderRequest): Promise<Table> {
  clearTimeout(idle);
  reader ??= fork(program, {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    serialization: 'advanced',
    // The reader watches its memory itself.
    execArgv: [`--max-old-space-size=${Math.ceil(totalmem() / 2 ** 20)}`],
  });
  const child = reader;
  child.ref();
  child.channel?.ref();
  try {
    return await answer(child, request);
  } finally {
    child.removeAllListeners();
    if (child.exitCode === null && child.signalCode === null && !child.killed) {
      child.unref();
      child.channel?.unref();
      idle = setTimeout(() => {
        child.disconnect();
        reader = undefined;
      }, 1000 * idleSeconds).unref();
    } else reader = undefined;
  }
}

function answer(child: ChildProcess, request: ReaderRequest): Promise<Table> {
  const records: DataRecord[] = [];
  let classNames: ClassNames = new Map();
  let convert = (row: DataRecord): DataRecord => row;
  return new Promise((done, fail) => {
    child.on('message', (message: ReaderMessage) => {
      try {
        if (message.type === 'table') {
          classNames = classNamesOf(message.features);
          convert = rowConverter(message.columns);
        } else if (message.type === 'rows') for (const row of message.rows) records.push(convert(row));
        else if (message.type === 'end') done({ records, classNames });
        else fail(message.damaged ? new Unreadable(message.message) : new UserError(message.message));
      } catch (error) {
        // The rest of the answer is of no use, and must not be taken for that of the next table.
        child.kill('SIGKILL');
        fail(new Unreadable((error as Error).message));
      }
    });
    child.once('error', fail);
    child.once('exit', (code, signal) => {
      const why = new Map([
        ['SIGTERM', 'decoding it takes too long'],
        ['SIGKILL', 'decoding it takes too much memory'],
      ]);
      fail(new Unreadable(why.get(signal ?? '') ?? `decoding it ends the reader (${signal ?? `code ${code}`})`));
    });
    child.send(request);
  });
}

/** The hub's `datasets` library writes its features into the file. */
function classNamesOf(features: string | undefined): ClassNames {
  try {
    const value: unknown = parseBoundedJson(features ?? '{}');
    return classNamesOfFeatures(isJsonObject(value) && isJsonObject(value.info) ? value.info.features : undefined);
  } catch {
    return new Map();
  }
}

/** What makes a record of a row of the reader. */
function rowConverter(trees: readonly SchemaTree[]): (row: DataRecord) => DataRecord {
  const columns = new Map(trees.map((tree) => [tree.element.name, tree]));
  const convert = (value: unknown, tree: SchemaTree | undefined): unknown => {
    if (Array.isArray(value)) return value.map((item) => convert(item, tree));
    if (isRecord(value)) {
      const fields = fieldsOf(tree);
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, convert(inner, fields.get(key))]));
    }
    const element = leafOf(tree);
    if (element === undefined || value === null || value === undefined)
      return typeof value === 'bigint' ? exactNumber(String(value)) : value;
    const { converted_type: converted, logical_type: logical, type, scale = 0 } = element;
    if (logical?.type === 'DECIMAL') return decimal(value, logical.scale);
    if (converted === 'DECIMAL') return decimal(value, scale);
    if ((converted === 'JSON' || logical?.type === 'JSON') && typeof value === 'string') return parseJson(value);
    // The reader writes Z, for UTC; what no zone is known of has none.
    if (logical?.type === 'TIMESTAMP' && !logical.isAdjustedToUTC) return String(value).replace(/Z$/, '');
    const unit = logical?.type === 'TIME' ? logical.unit : timeUnits.get(converted ?? '');
    if (unit !== undefined) return timeOfDay(BigInt(value as number | bigint), perSecond[unit]);
    if (typeof value === 'bigint') return exactNumber(String(value));
    if (typeof value !== 'number') return value;
    if (logical?.type === 'FLOAT16') return exactFloat(shortest(value, toHalf));
    if (type === 'FLOAT') return exactFloat(shortest(value, Math.fround));
    return type === 'DOUBLE' ? exactFloat(value) : value;
  };
  return (row) =>
    Object.fromEntries(Object.entries(row).map(([key, value]) => [key, convert(value, columns.get(key))]));
}

const timeUnits = new Map([
  ['TIME_MILLIS', 'MILLIS'],
  ['TIME_MICROS', 'MICROS'],
] as const) as ReadonlyMap<string, keyof typeof perSecond>;
const perSecond = { MILLIS: 1_000n, MICROS: 1_000_000n, NANOS: 1_000_000_000n } as const;

/** `01:02:03.456`, with as many digits as the unit has. */
function timeOfDay(value: bigint, unit: bigint): string {
  const seconds = value / unit;
  const parts = [seconds / 3600n, (seconds / 60n) % 60n, seconds % 60n].map((part) => String(part).padStart(2, '0'));
  return `${parts.join(':')}.${String(value % unit).padStart(String(unit).length - 1, '0')}`;
}

/** The shortest number that `round`, to fewer bits, makes this value of: 0.1 is stored as 0.10000000149011612. */
function shortest(value: number, round: (x: number) => number): number {
  if (Number.isInteger(value) || !Number.isFinite(value)) return value;
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (round(short) === value) return short;
  }
  return value;
}

/** Rounds to 11 bits, or to multiples of 2^-24. */
function toHalf(value: number): number {
  const step = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(value))), -14) - 10);
  return Math.round(value / step) * step;
}

/** A number that is stored as floating point, as most programs print it: whole ones with a zero behind the point. */
function exactFloat(value: number): number | ExactNumber {
  if (!Number.isInteger(value)) return value;
  const text = Object.is(value, -0) ? '-0' : String(value);
  return text.includes('e') ? value : new ExactNumber(`${text}.0`);
}

function decimal(value: unknown, scale: number): number | ExactNumber {
  let whole: bigint;
  if (value instanceof Uint8Array) {
    whole = value.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    if (value.length > 0 && value[0]! >= 0x80) whole -= 1n << BigInt(8 * value.length);
  } else whole = BigInt(value as number | bigint);
  const digits = String(whole < 0n ? -whole : whole).padStart(scale + 1, '0');
  const point = digits.length - scale;
  return exactNumber(`${whole < 0n ? '-' : ''}${digits.slice(0, point)}${scale > 0 ? `.${digits.slice(point)}` : ''}`);
}

/** The element that a value in a column of one kind of values belongs to: lists wrap it once or twice. */
function leafOf(tree: SchemaTree | undefined): SchemaElement | undefined {
  let place = tree;
  while (place?.children.length === 1) place = place.children[0];
  return place?.children.length === 0 ? place.element : undefined;
}

/** The fields of a structure, or of the structures in a list. */
function fieldsOf(tree: SchemaTree | undefined): ReadonlyMap<string, SchemaTree> {
  const fields = new Map<string, SchemaTree>();
  for (let place = tree; place !== undefined; place = place.children.length === 1 ? place.children[0] : undefined)
    for (const child of place.children) fields.set(child.element.name, child);
  return fields;
}

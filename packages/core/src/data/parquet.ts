// Records from Parquet tables: every number exact, dates as text, names of class numbers from the metadata.
import { open } from 'node:fs/promises';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { decompress as unzstd } from 'fzstd';
import {
  type AsyncBuffer,
  type Compressors,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type SchemaElement,
  type SchemaTree,
  snappyUncompress,
} from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { decompressLz4, decompressLz4Raw } from 'hyparquet-compressors';
import { UserError } from '../base/errors.js';
import { isJsonObject } from '../base/json.js';
import { packedEndings, readWhole } from './bytes.js';
import { type ClassNames, classNamesOfFeatures } from './class-names.js';
import { ExactNumber, exactNumber } from './exact-number.js';
import { parseJson } from './json-records.js';
import { type DataRecord, isRecord } from './record.js';

/** A page of a table is of a megabyte as a rule; no page of a sound file is larger than this. */
const largestPage = 1 << 30;
/** Rows for each byte of the file; a table of equal rows may have some hundreds. */
const rowsPerByte = 1000;

function bounded(unpack: (input: Uint8Array, length: number) => Uint8Array) {
  return (input: Uint8Array, length: number): Uint8Array => {
    if (length > largestPage) throw new Error(`a page of ${length} bytes`);
    return unpack(input, length);
  };
}

const compressors: Compressors = {
  SNAPPY: bounded((input, length) => {
    const output = new Uint8Array(length);
    snappyUncompress(input, output);
    return output;
  }),
  GZIP: bounded((input, length) => new Uint8Array(gunzipSync(input, { maxOutputLength: Math.max(1, length) }))),
  BROTLI: bounded(
    (input, length) => new Uint8Array(brotliDecompressSync(input, { maxOutputLength: Math.max(1, length) })),
  ),
  ZSTD: bounded((input, length) => unzstd(input, new Uint8Array(length))),
  LZ4: bounded(decompressLz4),
  LZ4_RAW: bounded(decompressLz4Raw),
};

/**
 * The rows of a table. Integers beyond 2^53, decimals and whole floating-point numbers (`1.0`) become `ExactNumber`;
 * dates and times become text as ISO 8601 writes it; bytes that are no text stay bytes. Errors: a UserError for a file
 * that cannot be read. No promise of the library is left alone with its error.
 */
export async function readParquet(
  path: string,
  limit: number,
): Promise<{ records: DataRecord[]; classNames: ClassNames }> {
  const file = await openFile(path);
  let failed = false;
  const guarded: AsyncBuffer = {
    byteLength: file.byteLength,
    slice: async (start, end) => {
      const bytes = await file.slice(start, end);
      // Where the library has failed meanwhile it listens no more: what hangs on this piece would reject unheard.
      return failed ? new Promise<never>(() => {}) : bytes;
    },
  };
  try {
    const metadata = await parquetMetadataAsync(guarded);
    await checkSizes(guarded, metadata);
    const classNames = classNamesOf(metadata);
    const convert = rowConverter(metadata);
    const rows = await parquetReadObjects({
      file: guarded,
      metadata,
      compressors,
      parsers,
      ...(Number.isFinite(limit) && { rowEnd: limit }),
    });
    return { records: rows.map(convert), classNames };
  } catch (error) {
    failed = true;
    throw new UserError(`${path}: not a readable Parquet file (${(error as Error).message})`);
  } finally {
    await file.close();
  }
}

interface OpenFile extends AsyncBuffer {
  close(): Promise<void>;
}

async function openFile(path: string): Promise<OpenFile> {
  if (packedEndings.some((ending) => path.endsWith(ending))) {
    const bytes = new Uint8Array(await readWhole(path));
    return {
      byteLength: bytes.length,
      slice: async (start, end) => bytes.buffer.slice(start, end),
      close: async () => {},
    };
  }
  const handle = await open(path);
  const { size } = await handle.stat();
  return {
    byteLength: size,
    slice: async (start, end = size) => {
      const bytes = new Uint8Array(Math.max(0, Math.min(end, size) - start));
      await handle.read(bytes, 0, bytes.length, start);
      return bytes.buffer;
    },
    close: () => handle.close(),
  };
}

/**
 * Looks at the sizes that the file names, before the library believes them: a page of negative length would have it
 * read the same page for ever. Throws for sizes that do not fit.
 */
async function checkSizes(file: AsyncBuffer, { row_groups: groups, num_rows: named }: FileMetaData): Promise<void> {
  const rows = groups.reduce((sum, group) => sum + Number(group.num_rows), 0);
  if (rows !== Number(named) || groups.some((group) => Number(group.num_rows) < 0))
    throw new Error('its row groups do not add up to its rows');
  if (rows > file.byteLength * rowsPerByte) throw new Error(`${rows} rows in ${file.byteLength} bytes`);
  for (const { meta_data: column } of groups.flatMap((group) => group.columns)) {
    if (column === undefined) throw new Error('a column without its description');
    const first = Number(column.data_page_offset);
    const dictionary = Number(column.dictionary_page_offset ?? 0);
    const start = dictionary > 0 && dictionary < first ? dictionary : first;
    const end = start + Number(column.total_compressed_size);
    if (!(start >= 0 && end >= start && end <= file.byteLength)) throw new Error('a column outside of the file');
    const reader = { view: new DataView(await file.slice(start, end)), offset: 0 };
    for (let values = 0; reader.offset < reader.view.byteLength - 1; ) {
      const header = parquetHeader(reader);
      const sizes = [header.compressed_page_size, header.uncompressed_page_size];
      const page = header.data_page_header ?? header.data_page_header_v2;
      const count = page?.num_values ?? header.dictionary_page_header?.num_values ?? 0;
      if (sizes.some((size) => !(size >= 0 && size <= largestPage)) || !(count >= 0))
        throw new Error('a page of an impossible size');
      reader.offset += header.compressed_page_size;
      if (reader.offset > reader.view.byteLength) throw new Error('a page outside of its column');
      values += page?.num_values ?? 0;
      if (values > Number(column.num_values) || count > file.byteLength * rowsPerByte)
        throw new Error('a page of more values than the column has');
    }
  }
}

/** The hub's `datasets` library writes its features into the file. */
function classNamesOf({ key_value_metadata: pairs = [] }: FileMetaData): ClassNames {
  const text = pairs.find(({ key }) => key === 'huggingface')?.value;
  try {
    const value: unknown = JSON.parse(text ?? '{}');
    return classNamesOfFeatures(isJsonObject(value) && isJsonObject(value.info) ? value.info.features : undefined);
  } catch {
    return new Map();
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** ISO 8601 with as many digits as the unit has, `perSecond` of them a second. */
function timestamp(value: bigint, perSecond: bigint): string {
  const rest = ((value % perSecond) + perSecond) % perSecond;
  const seconds = (value - rest) / perSecond;
  const digits = String(rest).padStart(String(perSecond).length - 1, '0');
  return new Date(Number(seconds) * 1000).toISOString().replace('.000Z', `.${digits}Z`);
}

const parsers = {
  timestampFromMilliseconds: (value: bigint) => timestamp(BigInt(value), 1000n),
  timestampFromMicroseconds: (value: bigint) => timestamp(BigInt(value), 1_000_000n),
  timestampFromNanoseconds: (value: bigint) => timestamp(BigInt(value), 1_000_000_000n),
  dateFromDays: (days: number) => new Date(days * 86_400_000).toISOString().slice(0, 10),
  stringFromBytes: (bytes: Uint8Array) => {
    try {
      return bytes && utf8.decode(bytes);
    } catch {
      return bytes;
    }
  },
  jsonFromBytes: (bytes: Uint8Array) => bytes && parseJson(utf8.decode(bytes)),
};

/**
 * What makes a record of a row of the library. Its own conversion of decimals rounds: it is taken out of the schema, so
 * that the bare integers arrive.
 */
function rowConverter(metadata: FileMetaData): (row: DataRecord) => DataRecord {
  const scales = new Map<SchemaElement, number>();
  for (const element of metadata.schema) {
    const { converted_type: converted, logical_type: logical, type, scale = 0 } = element;
    if (converted !== 'DECIMAL' && logical?.type !== 'DECIMAL') continue;
    if (type === 'BYTE_ARRAY') throw new Error(`column ${element.name}: decimals of this kind are not supported`);
    scales.set(element, logical?.type === 'DECIMAL' ? logical.scale : scale);
    delete element.converted_type;
    delete element.logical_type;
  }
  const { children } = parquetSchema(metadata);
  const columns = new Map(children.map((tree) => [tree.element.name, tree]));
  const convert = (value: unknown, tree: SchemaTree | undefined): unknown => {
    if (Array.isArray(value)) return value.map((item) => convert(item, tree));
    if (isRecord(value) && Object.getPrototypeOf(value) === Object.prototype) {
      const fields = fieldsOf(tree);
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, convert(inner, fields.get(key))]));
    }
    const element = leafOf(tree);
    const scale = element && scales.get(element);
    if (scale !== undefined && value !== null && value !== undefined) return decimal(value, scale);
    if (typeof value === 'bigint') return exactNumber(String(value));
    const isFloat =
      element?.type === 'DOUBLE' || element?.type === 'FLOAT' || element?.logical_type?.type === 'FLOAT16';
    return isFloat && Number.isInteger(value) ? exactFloat(value as number) : value;
  };
  return (row) =>
    Object.fromEntries(Object.entries(row).map(([key, value]) => [key, convert(value, columns.get(key))]));
}

/** A whole number that is stored as floating point, as most programs print it. */
function exactFloat(value: number): number | ExactNumber {
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

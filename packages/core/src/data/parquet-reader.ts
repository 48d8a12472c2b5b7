// The process that decodes a Parquet table for parquet.ts. A damaged or hostile file may make the decoder loop or take
// all memory: then this process ends itself, and with it the harm. It reads one table after the other.
import { open } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { decompress as unzstd } from 'fzstd';
import {
  type AsyncBuffer,
  type Compressors,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type SchemaTree,
  snappyUncompress,
} from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { decompressLz4, decompressLz4Raw } from 'hyparquet-compressors';
import { systemError, UserError } from '../base/errors.js';
import { packedEndings, readWhole } from './bytes.js';
import type { DataRecord } from './record.js';

/** What the parent asks for. */
export interface ReaderRequest {
  readonly path: string;
  /** At most this many rows. */
  readonly limit: number | undefined;
  /** Decoding may take so many seconds of work, and more for each megabyte of the file. */
  readonly seconds: number;
}

/** What it is told, in this order: the table, its rows in pieces, the end; or a failure. */
export type ReaderMessage =
  | { readonly type: 'table'; readonly columns: SchemaTree[]; readonly features: string | undefined }
  | { readonly type: 'rows'; readonly rows: DataRecord[] }
  | { readonly type: 'end' }
  /** `damaged` is false where the file could not be opened or unpacked: then the message stands for itself. */
  | { readonly type: 'failure'; readonly damaged: boolean; readonly message: string };

/** Decoding may take so much longer, and so much memory, with so much more for each megabyte of the file. */
const limits = { secondsPerMegabyte: 2, megabytes: 1024, megabytesPerMegabyte: 100 };

/** A page of a table is of a megabyte as a rule; no page of a sound file is larger than this. */
const largestPage = 1 << 30;
/** Rows for each byte of the file; a table of equal rows may have some hundreds. */
const rowsPerByte = 1000;
/** Rows of a message. */
const piece = 2000;

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

/** Sends a message; resolves when it is on its way. */
function send(message: ReaderMessage): Promise<void> {
  return new Promise((resolve, reject) =>
    process.send!(message, (error: Error | null) => (error ? reject(error) : resolve())),
  );
}

async function read({ path, limit, seconds }: ReaderRequest): Promise<void> {
  let file: OpenFile;
  try {
    file = await openFile(path);
  } catch (error) {
    const { message } = error instanceof UserError ? error : (systemError(error) ?? (error as Error));
    return send({ type: 'failure', damaged: false, message });
  }
  guard(file.byteLength / 2 ** 20, seconds);
  let rows: DataRecord[];
  let table: ReaderMessage;
  try {
    const metadata = await parquetMetadataAsync(file);
    await checkSizes(file, metadata);
    const { children: columns } = parquetSchema(structuredClone(metadata));
    const features = metadata.key_value_metadata?.find(({ key }) => key === 'huggingface')?.value;
    table = { type: 'table', columns, features };
    // The library's own conversion of decimals rounds: without their type the bare integers arrive.
    for (const element of metadata.schema) {
      if (element.converted_type !== 'DECIMAL' && element.logical_type?.type !== 'DECIMAL') continue;
      if (element.type === 'BYTE_ARRAY')
        throw new Error(`column ${element.name}: decimals of this kind are not supported`);
      delete element.converted_type;
      delete element.logical_type;
    }
    const options = { file, metadata, compressors, parsers };
    rows = await parquetReadObjects(limit === undefined ? options : { ...options, rowEnd: limit });
  } catch (error) {
    return send({ type: 'failure', damaged: true, message: (error as Error).message });
  } finally {
    await file.close();
    bounds.fill(Number.POSITIVE_INFINITY);
  }
  await send(table);
  for (let start = 0; start < rows.length; start += piece)
    await send({ type: 'rows', rows: rows.slice(start, start + piece).map((row) => detached(row) as DataRecord) });
  return send({ type: 'end' });
}

/**
 * Microseconds of work and bytes of memory at which the watchdog ends this process. It is work that counts, not the
 * clock: on a busy machine a process may wait for long.
 */
const bounds = new Float64Array(new SharedArrayBuffer(16)).fill(Number.POSITIVE_INFINITY);

/** Nothing else reaches a busy loop. SIGTERM stands for too much time, SIGKILL for too much memory. */
const watchdog = `const bounds = require('node:worker_threads').workerData;
setInterval(() => {
  const { user, system } = process.cpuUsage();
  if (user + system > bounds[0]) process.kill(process.pid, 'SIGTERM');
  if (process.memoryUsage.rss() > bounds[1]) process.kill(process.pid, 'SIGKILL');
}, 50);`;

function guard(megabytes: number, seconds: number): void {
  const { user, system } = process.cpuUsage();
  bounds[0] = user + system + 1e6 * (seconds + limits.secondsPerMegabyte * megabytes);
  bounds[1] = (limits.megabytes + limits.megabytesPerMegabyte * megabytes) * 2 ** 20;
}

/** Bytes that are no text are views of whole pages: a message would carry the pages. */
function detached(value: unknown): unknown {
  if (value instanceof Uint8Array) return value.slice();
  if (Array.isArray(value)) return value.map(detached);
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, detached(inner)]));
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
  // Parsed by the parent: a message would lose exact numbers.
  jsonFromBytes: (bytes: Uint8Array) => bytes && utf8.decode(bytes),
};

new Worker(watchdog, { eval: true, execArgv: [], workerData: bounds }).unref();
process.on('disconnect', () => process.exit());
process.on('message', (request: ReaderRequest) => void read(request));

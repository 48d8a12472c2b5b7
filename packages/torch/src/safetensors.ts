// The safetensors format: read lazily through a memory map, written piece by piece and renamed into place.
// Format: 8 bytes little-endian header length, a JSON header { name: { dtype, shape, data_offsets } }, the data.
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { UserError } from './errors.js';
import { parseBoundedJson } from './files/bounded-json.js';
import { replaceFile } from './files/write.js';
import { keep, scope } from './scope.js';
import { type DType, op, Tensor } from './tensor.js';

const dtypes = new Map<string, { dtype: DType; bytes: number }>([
  ['F64', { dtype: 'float64', bytes: 8 }],
  ['F32', { dtype: 'float32', bytes: 4 }],
  ['F16', { dtype: 'float16', bytes: 2 }],
  ['BF16', { dtype: 'bfloat16', bytes: 2 }],
  ['I64', { dtype: 'int64', bytes: 8 }],
  ['I32', { dtype: 'int32', bytes: 4 }],
  ['I16', { dtype: 'int16', bytes: 2 }],
  ['I8', { dtype: 'int8', bytes: 1 }],
  ['U8', { dtype: 'uint8', bytes: 1 }],
  ['BOOL', { dtype: 'bool', bytes: 1 }],
]);
const names = new Map([...dtypes].map(([name, { dtype }]) => [dtype, name]));
const bytesOf = (dtype: DType) => dtypes.get(names.get(dtype)!)!.bytes;

const metadataKey = '__metadata__';
// The reference implementation refuses headers above 100 MB, too.
const largestHeader = 100_000_000;
const pieceBytes = 1 << 24;

/** A file that is not what it should be; the message names the file and what is wrong. */
export class FileFormatError extends UserError {
  override name = 'FileFormatError';

  constructor(message: string, cause?: unknown) {
    super(message, { code: 'damaged-file', cause });
  }
}

export interface SafetensorsEntry {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Where the bytes lie in the file. */
  readonly offset: number;
  readonly bytes: number;
}

/** An open safetensors file: entries are known, data is read when a tensor is asked for. */
export class SafetensorsFile {
  #bytes: Tensor | undefined;
  constructor(
    readonly path: string,
    readonly entries: ReadonlyMap<string, SafetensorsEntry>,
    readonly metadata: Readonly<Record<string, string>>,
    readonly size: number,
  ) {}

  /**
   * The tensor of this name on the CPU, over the file's own pages (copied where the file is not aligned). Throws for an
   * unknown name.
   */
  tensor(name: string): Tensor {
    const entry = this.entries.get(name);
    if (!entry) throw new FileFormatError(`${this.path}: no tensor named ${name}`);
    this.#bytes ??= keep(mapFile(this.path, this.size));
    return mappedTensor(this.#bytes, entry);
  }

  /** Lets go of the map; tensors already given stay valid. */
  close(): void {
    this.#bytes?.dispose();
    this.#bytes = undefined;
  }
}

/** All bytes of a file as a uint8 tensor over a private memory map: written pages never reach the file. */
export function mapFile(path: string, size: number): Tensor {
  return op('aten::from_file', path, false, size, 'uint8');
}

/** A contiguous piece of mapped bytes as a tensor of this type and shape; copied where the offset is not aligned. */
export function mappedTensor(
  file: Tensor,
  entry: { dtype: DType; shape: readonly number[]; offset: number; bytes: number },
): Tensor {
  return scope(() => {
    const piece = file.narrow(0, entry.offset, entry.bytes);
    const aligned = entry.offset % bytesOf(entry.dtype) === 0 ? piece : piece.clone();
    return aligned.viewDtype(entry.dtype).view(...entry.shape);
  });
}

/** Reads and checks the header. Throws FileFormatError for anything that does not fit, before any data is read. */
export function openSafetensors(path: string): SafetensorsFile {
  const wrong = (why: string) => new FileFormatError(`${path}: not a safetensors file: ${why}`);
  const size = statSync(path).size;
  const file = openSync(path, 'r');
  let header: Buffer;
  try {
    const start = Buffer.alloc(8);
    if (readSync(file, start, 0, 8, 0) < 8) throw wrong(`${size} bytes are too few`);
    const length = start.readBigUInt64LE();
    if (length > BigInt(largestHeader) || Number(length) + 8 > size)
      throw wrong(`its header claims ${length} bytes, the file has ${size}`);
    header = Buffer.alloc(Number(length));
    if (readSync(file, header, 0, header.length, 8) < header.length) throw wrong('the header is cut short');
  } finally {
    closeSync(file);
  }
  let parsed: unknown;
  try {
    parsed = parseBoundedJson(new TextDecoder('utf-8', { fatal: true }).decode(header));
  } catch {
    throw wrong('its header is not JSON');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw wrong('its header is not an object');
  const base = 8 + header.length;
  const entries = new Map<string, SafetensorsEntry>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(parsed as Record<string, unknown>)) {
    if (name === metadataKey) {
      if (!isTexts(value)) throw wrong(`its ${metadataKey} is not an object of strings`);
      metadata = value;
      continue;
    }
    const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
    const type = typeof dtype === 'string' ? dtypes.get(dtype) : undefined;
    if (!type) throw wrong(`${name} has the element type ${JSON.stringify(dtype)}, which is not supported`);
    if (!isCounts(shape) || !isCounts(offsets) || offsets.length !== 2)
      throw wrong(`the entry of ${name} is malformed`);
    const [begin, end] = offsets as [number, number];
    let bytes = type.bytes;
    for (const side of shape) {
      bytes *= side;
      if (!Number.isSafeInteger(bytes)) throw wrong(`${name} of shape [${shape}] is too large`);
    }
    if (end - begin !== bytes) throw wrong(`${name} of shape [${shape}] has ${end - begin} bytes in place of ${bytes}`);
    if (base + end > size)
      throw new FileFormatError(`${path}: cut short: ${name} ends at byte ${base + end}, the file at ${size}`);
    entries.set(name, { dtype: type.dtype, shape, offset: base + begin, bytes });
  }
  // As the reference implementation has it: data from the header's end to the file's, without holes, overlaps or a
  // rest.
  const sorted = [...entries].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  let at = base;
  for (const [name, { offset, bytes }] of sorted) {
    if (offset < at) throw wrong(`two of its tensors overlap at ${name}`);
    if (offset > at) throw wrong(`${offset - at} bytes in front of ${name} belong to no tensor`);
    at += bytes;
  }
  if (at < size) throw wrong(`${size - at} bytes at its end belong to no tensor`);
  return new SafetensorsFile(path, entries, metadata, size);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

function isTexts(value: unknown): value is Record<string, string> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((text) => typeof text === 'string')
  );
}

/** A tensor that is not there yet: `read` gives it when its turn has come, in the scope of the caller. */
export interface LazyTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  read(): Tensor;
}

/**
 * Writes tensors as a safetensors file, whole or not at all (see `replaceFile`). Data goes out in pieces of 16 MB;
 * nothing is held twice. No tensor may be called `__metadata__`.
 * @param hash gets every byte that is written, as a checksum needs it.
 */
export function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor | LazyTensor>,
  metadata: Record<string, string> = {},
  hash?: { update(bytes: Uint8Array): unknown },
): void {
  if (tensors.has(metadataKey)) throw new Error(`a safetensors file cannot hold a tensor named ${metadataKey}`);
  // Without a prototype, so that every name is a name.
  const header = Object.create(null) as Record<string, unknown>;
  if (Object.keys(metadata).length) header[metadataKey] = metadata;
  let offset = 0;
  for (const [name, tensor] of tensors) {
    const dtype = names.get(tensor.dtype);
    const bytes = tensor.shape.reduce((product, side) => product * side, bytesOf(tensor.dtype));
    header[name] = { dtype, shape: tensor.shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  let text = JSON.stringify(header);
  // Data begins at a multiple of 8, so that it can be mapped.
  text += ' '.repeat((8 - (Buffer.byteLength(text) % 8)) % 8);
  const json = Buffer.from(text);
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(BigInt(json.length));
  replaceFile(path, (write) => {
    const put = (bytes: Uint8Array) => {
      hash?.update(bytes);
      write(bytes);
    };
    put(start);
    put(json);
    for (const tensor of tensors.values())
      scope(() => writeData(put, tensor instanceof Tensor ? tensor : tensor.read()));
  });
}

function writeData(put: (bytes: Uint8Array) => void, tensor: Tensor): void {
  scope(() => {
    const flat = tensor.detach().contiguous().reshape(-1);
    const step = pieceBytes / bytesOf(tensor.dtype);
    for (let at = 0; at < flat.numel; at += step)
      scope(() => put(flat.narrow(0, at, Math.min(step, flat.numel - at)).toBytes()));
  });
}

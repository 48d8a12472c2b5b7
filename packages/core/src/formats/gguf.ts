// GGUF files: metadata and where the tensors lie (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).

import { UserError } from '../base/errors.js';
import { refuseLfsPointer } from '../base/git-lfs.js';
import { type FileReader, withFile } from './reader.js';

/** A metadata value. 64-bit integers are numbers too; one that a number cannot hold is refused. */
export type GgufValue = number | boolean | string | GgufValue[];

/** Metadata by key, such as `llama.block_count` and `tokenizer.ggml.tokens`. */
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** Numbers, names and block sizes (elements, bytes) of the tensor types that promot reads (ggml.h, ggml-common.h). */
const TYPES = {
  F32: { id: 0, elements: 1, bytes: 4 },
  F16: { id: 1, elements: 1, bytes: 2 },
  Q4_0: { id: 2, elements: 32, bytes: 18 },
  Q4_1: { id: 3, elements: 32, bytes: 20 },
  Q5_0: { id: 6, elements: 32, bytes: 22 },
  Q5_1: { id: 7, elements: 32, bytes: 24 },
  Q8_0: { id: 8, elements: 32, bytes: 34 },
  Q2_K: { id: 10, elements: 256, bytes: 84 },
  Q3_K: { id: 11, elements: 256, bytes: 110 },
  Q4_K: { id: 12, elements: 256, bytes: 144 },
  Q5_K: { id: 13, elements: 256, bytes: 176 },
  Q6_K: { id: 14, elements: 256, bytes: 210 },
  IQ2_XXS: { id: 16, elements: 256, bytes: 66 },
  IQ2_XS: { id: 17, elements: 256, bytes: 74 },
  IQ3_XXS: { id: 18, elements: 256, bytes: 98 },
  IQ1_S: { id: 19, elements: 256, bytes: 50 },
  IQ4_NL: { id: 20, elements: 32, bytes: 18 },
  IQ3_S: { id: 21, elements: 256, bytes: 110 },
  IQ2_S: { id: 22, elements: 256, bytes: 82 },
  IQ4_XS: { id: 23, elements: 256, bytes: 136 },
  F64: { id: 28, elements: 1, bytes: 8 },
  IQ1_M: { id: 29, elements: 256, bytes: 56 },
  BF16: { id: 30, elements: 1, bytes: 2 },
  TQ1_0: { id: 34, elements: 256, bytes: 54 },
  TQ2_0: { id: 35, elements: 256, bytes: 66 },
  MXFP4: { id: 39, elements: 32, bytes: 17 },
  NVFP4: { id: 40, elements: 64, bytes: 36 },
} as const;

/** A tensor type that promot reads. */
export type GgufType = keyof typeof TYPES;

/** How many numbers a block of this type has, and how many bytes. */
export function blockOf(type: GgufType): { readonly elements: number; readonly bytes: number } {
  return TYPES[type];
}

/** Where a tensor lies in a GGUF file. */
export interface GgufTensor {
  /** GGUF's own name, such as `blk.0.attn_q.weight`. */
  name: string;
  type: GgufType;
  /** In torch's order, rows first (GGUF writes the sizes the other way round). */
  shape: number[];
  byteOffset: number;
  byteLength: number;
}

/** A GGUF file's content but for the numbers in its tensors. */
export interface GgufFile {
  path: string;
  metadata: GgufMetadata;
  tensors: GgufTensor[];
}

/** More than any model has; bounds what a file of holes (all zeros, no space on disk) could ask for. */
const MOST_TENSORS = 100_000;
const MOST_KEYS = 10_000;
/** Values in all of the metadata together; the largest vocabularies have about a million tokens, scores and merges. */
const MOST_VALUES = 20_000_000;
/** The longest text: chat templates have some 20,000 bytes. */
const LONGEST_STRING = 1 << 24;

const MAGIC = 0x46554747; // "GGUF"
const WINDOW = 1 << 20;

/** Value types of metadata, in the order of their numbers. */
const VALUE_TYPES = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const;
type ValueType = (typeof VALUE_TYPES)[number];

/** Fewest bytes that a value takes: bounds the length of arrays by the size of the file. */
const LEAST_BYTES: Readonly<Record<ValueType, number>> = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  bool: 1,
  string: 8,
  array: 12,
  uint64: 8,
  int64: 8,
  float64: 8,
};

/**
 * Reads the head of a GGUF file (versions 2 and 3, little-endian, one file).
 * Every count, length and offset is checked against the size of the file before it is used.
 * Throws a UserError for a damaged file, a split one and one with tensor types that promot does not read.
 */
export function readGguf(path: string): GgufFile {
  refuseLfsPointer(path);
  return withFile(path, (file) => {
    const head = new HeadReader(file);
    if (file.size < 24 || head.uint32() !== MAGIC)
      throw new UserError(`${path} is not a GGUF file.`, { code: 'damaged-file' });
    const version = head.uint32();
    if (version !== 2 && version !== 3) {
      throw new UserError(`${path} is GGUF version ${version} (or big-endian); versions 2 and 3 are read.`);
    }
    const tensorCount = head.count(8 + 4 + 8 + 4 + 8, MOST_TENSORS);
    const keyCount = head.count(8 + 4 + 1, MOST_KEYS);
    const metadata = new Map<string, GgufValue>();
    for (let i = 0; i < keyCount; i++) {
      const key = head.string();
      if (metadata.has(key)) throw head.damaged(`the key "${key}" occurs twice`);
      metadata.set(key, head.value(head.valueType(), 0));
    }
    if (Number(metadata.get('split.count') ?? 1) > 1) {
      throw new UserError(`${path} is one part of a split GGUF file. Join the parts first (llama-gguf-split --merge).`);
    }
    const infos = Array.from({ length: tensorCount }, () => tensorInfo(head));
    const alignment = metadata.get('general.alignment') ?? 32;
    if (typeof alignment !== 'number' || alignment < 1 || alignment > 2 ** 20 || (alignment & (alignment - 1)) !== 0) {
      throw head.damaged(`the alignment ${String(alignment)} is no power of two`);
    }
    const dataStart = Math.ceil(head.position / alignment) * alignment;
    const names = new Set<string>();
    const tensors = infos.map(({ name, type, shape, offset, byteLength }): GgufTensor => {
      if (names.has(name)) throw head.damaged(`the tensor "${name}" occurs twice`);
      names.add(name);
      const byteOffset = dataStart + offset;
      if (offset % alignment !== 0) throw head.damaged(`the tensor "${name}" is not aligned`);
      if (byteOffset + byteLength > file.size) {
        throw new UserError(
          `${path} is damaged or cut short: the tensor "${name}" ends at byte ${byteOffset + byteLength} of ` +
            `${file.size}. Fetch it again.`,
          { code: 'damaged-file' },
        );
      }
      return { name, type, shape, byteOffset, byteLength };
    });
    checkLayout(file, tensors, dataStart, alignment);
    return { path, metadata, tensors };
  });
}

/** Tensors lie one behind the other, with less than `alignment` bytes between them, up to the end of the file. */
function checkLayout(file: FileReader, tensors: readonly GgufTensor[], dataStart: number, alignment: number): void {
  const aligned = (at: number) => Math.ceil(at / alignment) * alignment;
  const wrong = (what: string) =>
    new UserError(`${file.path} is damaged: ${what}. Fetch it again.`, { code: 'damaged-file' });
  let at = dataStart;
  for (const { name, byteOffset, byteLength } of [...tensors].sort((a, b) => a.byteOffset - b.byteOffset)) {
    if (byteOffset < at) throw wrong(`two of its tensors overlap at "${name}"`);
    if (byteOffset > aligned(at)) throw wrong(`${byteOffset - at} bytes in front of "${name}" belong to no tensor`);
    at = byteOffset + byteLength;
  }
  if (file.size > aligned(at)) throw wrong(`${file.size - at} bytes at its end belong to no tensor`);
}

function tensorInfo(head: HeadReader): Omit<GgufTensor, 'byteOffset'> & { offset: number } {
  const name = head.string();
  const dimensions = head.uint32();
  if (dimensions < 1 || dimensions > 4) throw head.damaged(`the tensor "${name}" has ${dimensions} dimensions`);
  const sizes = Array.from({ length: dimensions }, () => head.uint64());
  const id = head.uint32();
  const offset = head.uint64();
  const entry = Object.entries(TYPES).find(([, type]) => type.id === id);
  if (!entry) {
    throw new UserError(
      `${head.path}: the tensor "${name}" is quantized in a way (ggml type ${id}) that is not read. ` +
        `Read are ${Object.keys(TYPES).join(', ')}.`,
    );
  }
  const [type, block] = entry;
  const elements = sizes.reduce((product, size) => product * size, 1);
  const byteLength = (elements / block.elements) * block.bytes;
  if (!Number.isSafeInteger(elements) || !Number.isSafeInteger(byteLength) || sizes[0]! % block.elements !== 0) {
    throw head.damaged(`the tensor "${name}" cannot have the shape ${sizes.join(' x ')}`);
  }
  return { name, type: type as GgufType, shape: sizes.reverse(), offset, byteLength };
}

/** Reads the head from front to back, a window of the file at a time. */
class HeadReader {
  readonly path: string;
  position = 0;
  readonly #file: FileReader;
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;
  /** In arrays, so far. */
  #values = 0;

  constructor(file: FileReader) {
    this.#file = file;
    this.path = file.path;
  }

  damaged(what: string): UserError {
    return new UserError(`${this.path} is damaged: ${what}.`, { code: 'damaged-file' });
  }

  /** Moves past `length` bytes and gives the buffer and the place in it where they begin. */
  #take(length: number): [Buffer, number] {
    const start = this.position;
    if (start + length > this.#windowStart + this.#window.length || start < this.#windowStart) {
      const wanted = Math.max(length, Math.min(WINDOW, this.#file.size - start));
      this.#window = this.#file.read(start, wanted);
      this.#windowStart = start;
    }
    this.position += length;
    return [this.#window, start - this.#windowStart];
  }

  uint32(): number {
    const [bytes, at] = this.#take(4);
    return bytes.readUInt32LE(at);
  }

  uint64(): number {
    const [bytes, at] = this.#take(8);
    // A vocabulary has hundreds of thousands of lengths: big integers for the large ones alone.
    const high = bytes.readUInt32LE(at + 4);
    return high < 2 ** 21 ? high * 2 ** 32 + bytes.readUInt32LE(at) : this.#safe(bytes.readBigUInt64LE(at));
  }

  #safe(value: bigint): number {
    if (value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER) throw this.damaged(`it holds ${value}`);
    return Number(value);
  }

  /**
   * A number of things that take at least `leastBytes` each: no more than fit in the rest of the file, and than `most`.
   */
  count(leastBytes: number, most: number): number {
    const count = this.uint64();
    if (count > (this.#file.size - this.position) / leastBytes) {
      throw this.damaged(`it claims ${count} entries, more than fit in it`);
    }
    if (count > most) throw this.damaged(`it claims ${count} entries, and at most ${most} are expected`);
    return count;
  }

  string(): string {
    const length = this.count(1, LONGEST_STRING);
    const [bytes, at] = this.#take(length);
    return bytes.toString('utf8', at, at + length);
  }

  valueType(): ValueType {
    const type = VALUE_TYPES[this.uint32()];
    if (!type) throw this.damaged('it holds a value of unknown type');
    return type;
  }

  value(type: ValueType, depth: number): GgufValue {
    if (type === 'string') return this.string();
    if (type === 'array') {
      if (depth >= 4) throw this.damaged('its arrays are nested too deep');
      const inner = this.valueType();
      const length = this.count(LEAST_BYTES[inner], MOST_VALUES - this.#values);
      this.#values += length;
      const values: GgufValue[] = new Array(length);
      for (let i = 0; i < length; i++) values[i] = this.value(inner, depth + 1);
      return values;
    }
    const [bytes, at] = this.#take(LEAST_BYTES[type]);
    switch (type) {
      case 'uint8':
        return bytes.readUInt8(at);
      case 'int8':
        return bytes.readInt8(at);
      case 'uint16':
        return bytes.readUInt16LE(at);
      case 'int16':
        return bytes.readInt16LE(at);
      case 'uint32':
        return bytes.readUInt32LE(at);
      case 'int32':
        return bytes.readInt32LE(at);
      case 'float32':
        return bytes.readFloatLE(at);
      case 'bool':
        return bytes.readUInt8(at) !== 0;
      case 'uint64':
        return this.#safe(bytes.readBigUInt64LE(at));
      case 'int64':
        return this.#safe(bytes.readBigInt64LE(at));
      case 'float64':
        return bytes.readDoubleLE(at);
    }
  }
}

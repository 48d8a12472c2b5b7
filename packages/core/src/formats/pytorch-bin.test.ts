import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import { readPytorchBin } from './pytorch-bin.js';
import { dtypeSizes, type StoredTensor } from './stored-tensor.js';

const golden = fileURLToPath(new URL('../../golden/files/', import.meta.url));
const expected = JSON.parse(readFileSync(join(golden, 'expected.json'), 'utf8')).state as Record<
  string,
  { dtype: string; shape: number[]; strides: number[]; values: number[] }
>;
const temporary = mkdtempSync(join(tmpdir(), 'promot-files-'));
afterAll(() => rmSync(temporary, { recursive: true }));

function write(bytes: Uint8Array): string {
  const path = join(temporary, 'changed.bin');
  writeFileSync(path, bytes);
  return path;
}

function message(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as Error).message;
  }
  throw new Error('nothing was thrown');
}

const readers: Record<string, (bytes: Buffer, at: number) => number> = {
  float64: (b, at) => b.readDoubleLE(at),
  float32: (b, at) => b.readFloatLE(at),
  float16: (b, at) => {
    const bits = b.readUInt16LE(at);
    const exponent = (bits >> 10) & 31;
    const size = exponent ? (1 + (bits & 1023) / 1024) * 2 ** (exponent - 15) : (bits & 1023) * 2 ** -24;
    return bits & 0x8000 ? -size : size;
  },
  bfloat16: (b, at) => Buffer.from([0, 0, b[at]!, b[at + 1]!]).readFloatLE(0),
  int64: (b, at) => Number(b.readBigInt64LE(at)),
  int32: (b, at) => b.readInt32LE(at),
  int16: (b, at) => b.readInt16LE(at),
  int8: (b, at) => b.readInt8(at),
  uint8: (b, at) => b[at]!,
  bool: (b, at) => b[at]!,
};

/** The tensor's numbers in row-major order, by its own offset and strides. */
function values({ path, dtype, shape, strides, byteOffset, byteLength }: StoredTensor): number[] {
  const bytes = readFileSync(path).subarray(byteOffset, byteOffset + byteLength);
  const out: number[] = [];
  const walk = (dimension: number, element: number): void => {
    if (dimension === shape.length) out.push(readers[dtype]!(bytes, element * dtypeSizes[dtype]));
    else for (let i = 0; i < shape[dimension]!; i++) walk(dimension + 1, element + i * strides[dimension]!);
  };
  walk(0, 0);
  return out;
}

describe('readPytorchBin', () => {
  test('finds every tensor: dtypes, strides, offsets, shared storage, parameters', () => {
    const tensors = readPytorchBin(join(golden, 'state.bin'));
    expect(tensors.map(({ name }) => name)).toEqual(Object.keys(expected));
    for (const tensor of tensors) {
      const { dtype, shape, strides, values: numbers } = expected[tensor.name]!;
      expect([tensor.name, tensor.dtype, tensor.shape, tensor.strides]).toEqual([tensor.name, dtype, shape, strides]);
      expect([tensor.name, values(tensor)]).toEqual([tensor.name, numbers]);
    }
    const at = (name: string) => tensors.find((tensor) => tensor.name === name)!.byteOffset;
    expect(at('tied')).toBe(at('float'));
    expect(at('sliced')).toBe(at('float') + 4 * (6 + 2));
  });

  test('reads a plain dictionary', () => {
    expect(readPytorchBin(join(golden, 'plain_dict.bin')).map(({ name, shape }) => [name, shape])).toEqual([
      ['weight', [2, 2]],
    ]);
  });

  test('says what to do about the older format and other contents', () => {
    expect(message(() => readPytorchBin(join(golden, 'legacy.bin')))).toMatch(/PyTorch 1\.6 or later.*save it again/);
    expect(message(() => readPytorchBin(join(golden, 'training_state.bin')))).toMatch(/"epoch" is no tensor/);
    expect(message(() => readPytorchBin(join(golden, 'missing.bin')))).toMatch(/missing\.bin cannot be read/);
    expect(message(() => readPytorchBin(join(golden, 'compressed.bin')))).toMatch(/"archive\/data\.pkl" is compressed/);
  });

  test.each([
    ['reduce', /"(posix|nt)\.system".*may be an attack/],
    ['stack_global', /"(posix|nt)\.system".*may be an attack/],
    ['object', /no state dict needs/],
    ['build', /no state dict needs|is damaged/],
    ['inst', /opcode 0x53/],
    ['getattr', /"__builtin__\.getattr"/],
  ])('refuses a hostile pickle: %s', (name, reason) => {
    expect(message(() => readPytorchBin(join(golden, `hostile_${name}.bin`)))).toMatch(reason);
    expect(existsSync('promot-was-attacked')).toBe(false);
  });

  test('a file cut short anywhere is refused', () => {
    const whole = readFileSync(join(golden, 'state.bin'));
    for (let length = 0; length < whole.length; length += 37) {
      expect(message(() => readPytorchBin(write(whole.subarray(0, length))))).toContain('changed.bin');
    }
  });

  test('a damaged byte never gives a tensor outside the file', () => {
    const whole = readFileSync(join(golden, 'state.bin'));
    let refused = 0;
    for (let at = 0; at < whole.length; at += 3) {
      const changed = Buffer.from(whole);
      changed[at] = changed[at]! ^ 0xff;
      try {
        const tensors = readPytorchBin(write(changed));
        const outside = tensors.filter((x) => x.byteOffset < 0 || x.byteOffset + x.byteLength > whole.length);
        expect([at, outside]).toEqual([at, []]);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(300);
  });

  test('lying sizes are refused', () => {
    const whole = readFileSync(join(golden, 'plain_dict.bin'));
    // BINPERSID's storage says 4 elements (K\x04), the shape (2, 2) follows as K\x02K\x02 and the strides as
    // K\x02K\x01.
    const change = (from: string, to: string) => {
      const at = whole.indexOf(from, 0, 'latin1');
      expect(at).toBeGreaterThan(0);
      const changed = Buffer.from(whole);
      changed.write(to, at, 'latin1');
      return write(changed);
    };
    expect(message(() => readPytorchBin(change('K\x04tq', 'K\x05tq')))).toMatch(/another size is written/);
    expect(message(() => readPytorchBin(change('K\x02K\x02\x86', 'K\x02K\x03\x86')))).toMatch(/reach past the data/);
    expect(message(() => readPytorchBin(change('K\x02K\x01\x86', 'K\xffK\x01\x86')))).toMatch(/reach past the data/);
    expect(message(() => readPytorchBin(change('QK\x00', 'QK\x01')))).toMatch(/reach past the data/);
  });

  test('strides of zero do not make more elements than there are', () => {
    const whole = readFileSync(join(golden, 'plain_dict.bin'));
    const changed = Buffer.from(whole);
    changed.write('K\xffK\xff\x86', whole.indexOf('K\x02K\x02\x86', 0, 'latin1'), 'latin1');
    changed.write('K\x00K\x00\x86', whole.indexOf('K\x02K\x01\x86', 0, 'latin1'), 'latin1');
    expect(message(() => readPytorchBin(write(changed)))).toMatch(/more elements than the data/);
  });

  test('zip64 sizes and offsets are read', () => {
    const whole = readFileSync(join(golden, 'plain_dict.bin'));
    const tensors = readPytorchBin(write(withZip64(whole)));
    expect(values(tensors[0]!)).toEqual([1, 1, 1, 1]);
    expect(message(() => readPytorchBin(write(withZip64(whole, 2n ** 40n))))).toMatch(/damaged or cut short/);
  });
});

/** The archive with every size and offset of its directory in zip64 fields; `shift` makes the offsets lie. */
function withZip64(whole: Buffer, shift = 0n): Buffer {
  const end = whole.lastIndexOf('PK\x05\x06', undefined, 'latin1');
  const start = whole.readUInt32LE(end + 16);
  const count = whole.readUInt16LE(end + 10);
  const parts = [whole.subarray(0, start)];
  let length = 0;
  for (let at = start, i = 0; i < count; i++) {
    const nameLength = whole.readUInt16LE(at + 28);
    const entry = Buffer.from(whole.subarray(at, at + 46 + nameLength));
    const extra = Buffer.alloc(28);
    extra.writeUInt16LE(1, 0);
    extra.writeUInt16LE(24, 2);
    extra.writeBigUInt64LE(BigInt(entry.readUInt32LE(24)), 4);
    extra.writeBigUInt64LE(BigInt(entry.readUInt32LE(20)), 12);
    extra.writeBigUInt64LE(BigInt(entry.readUInt32LE(42)) + shift, 20);
    for (const field of [20, 24, 42]) entry.writeUInt32LE(0xffffffff, field);
    at += 46 + nameLength + whole.readUInt16LE(at + 30) + whole.readUInt16LE(at + 32);
    entry.writeUInt16LE(28, 30);
    entry.writeUInt16LE(0, 32);
    parts.push(entry, extra);
    length += entry.length + 28;
  }
  const record = Buffer.alloc(56);
  record.writeUInt32LE(0x06064b50, 0);
  record.writeBigUInt64LE(44n, 4);
  record.writeBigUInt64LE(BigInt(count), 24);
  record.writeBigUInt64LE(BigInt(count), 32);
  record.writeBigUInt64LE(BigInt(length), 40);
  record.writeBigUInt64LE(BigInt(start), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(start + length), 8);
  locator.writeUInt32LE(1, 16);
  const last = Buffer.alloc(22);
  last.writeUInt32LE(0x06054b50, 0);
  for (const field of [8, 10]) last.writeUInt16LE(0xffff, field);
  for (const field of [12, 16]) last.writeUInt32LE(0xffffffff, field);
  return Buffer.concat([...parts, record, locator, last]);
}

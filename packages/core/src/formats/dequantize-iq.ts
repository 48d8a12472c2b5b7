// ggml's IQ formats: groups of 4 or 8 numbers are entries of a code book, with signs and a scale beside
// (layouts: ggml-common.h; formulas: ggml-quants.c, dequantize_row_iq*).

import { type Blocks, f32, half, halfOfBits } from './blocks.js';
import { type PackedBook, packedBooks } from './iq-grids.js';

/** What each 4 bits of IQ4_NL and IQ4_XS mean. */
const IQ4 = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/** What IQ1 adds to every number of a group, or takes off. */
const DELTA = 0.125;

const unpacked = new Map<PackedBook, Int8Array>();

/** All numbers of a code book, entry after entry. */
function valuesOf(book: PackedBook): Int8Array {
  let values = unpacked.get(book);
  if (values === undefined) {
    const packed = Buffer.from(book.data, 'base64');
    const perByte = 8 / book.bits;
    const mask = (1 << book.bits) - 1;
    values = Int8Array.from({ length: packed.length * perByte }, (_, i) => {
      return book.levels[(packed[Math.floor(i / perByte)]! >> (book.bits * (i % perByte))) & mask]!;
    });
    unpacked.set(book, values);
  }
  return values;
}

/** The eighth sign makes the number of minus signs even; the other seven are written. */
function eightSigns(seven: number): number {
  let parity = seven;
  parity ^= parity >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return seven | ((parity & 1) << 7);
}

/**
 * Writes `count` numbers of a code book from `from` on, each d times its value, minus where its bit in `signs` is set.
 */
function write(
  out: Float32Array,
  to: number,
  d: number,
  values: Int8Array,
  from: number,
  count: number,
  signs: number,
) {
  for (let j = 0; j < count; j++) {
    const x = f32(d * values[from + j]!);
    out[to + j] = (signs >> j) & 1 ? -x : x;
  }
}

/** As `write` for IQ1: d (value + delta). */
function writeShifted(out: Float32Array, to: number, d: number, values: Int8Array, from: number, delta: number) {
  for (let j = 0; j < 8; j++) out[to + j] = d * (values[from + j]! + delta);
}

export const iqReaders = {
  /**
   * 256 numbers: d (half); for each 32: four entries (a byte each), four times 7 signs and a 4-bit scale in 4 bytes.
   */
  IQ2_XXS({ bytes, view, out }: Blocks) {
    const values = valuesOf(packedBooks.IQ2_XXS);
    for (let i = 0, at = 0; i < out.length; i += 256, at += 66) {
      const d = half(view, at);
      for (let group = 0; group < 8; group++) {
        const first = at + 2 + 8 * group;
        const word = view.getUint32(first + 4, true);
        const scale = f32(f32(d * (0.5 + (word >>> 28))) * 0.25);
        for (let k = 0; k < 4; k++) {
          const signs = eightSigns((word >>> (7 * k)) & 127);
          write(out, i + 32 * group + 8 * k, scale, values, 8 * bytes[first + k]!, 8, signs);
        }
      }
    }
  },
  /** 256 numbers: d (half), 32 words of an entry (9 bits) and 7 signs, sixteen 4-bit scales. */
  IQ2_XS({ bytes, view, out }: Blocks) {
    const values = valuesOf(packedBooks.IQ2_XS);
    for (let i = 0, at = 0; i < out.length; i += 256, at += 74) {
      const d = half(view, at);
      for (let k = 0; k < 32; k++) {
        const word = view.getUint16(at + 2 + 2 * k, true);
        const scale = f32(f32(d * (0.5 + nibbleOf(bytes, at + 66, k >> 1))) * 0.25);
        write(out, i + 8 * k, scale, values, 8 * (word & 511), 8, eightSigns(word >> 9));
      }
    }
  },
  /**
   * 256 numbers: d (half), 32 entries' lower 8 bits, 32 bytes of signs, the entries' upper 2 bits, sixteen 4-bit
   * scales.
   */
  IQ2_S({ bytes, view, out }: Blocks) {
    const values = valuesOf(packedBooks.IQ2_S);
    for (let i = 0, at = 0; i < out.length; i += 256, at += 82) {
      const d = half(view, at);
      for (let k = 0; k < 32; k++) {
        const high = (bytes[at + 66 + (k >> 2)]! >> (2 * (k & 3))) & 3;
        const scale = f32(f32(d * (0.5 + nibbleOf(bytes, at + 74, k >> 1))) * 0.25);
        write(out, i + 8 * k, scale, values, 8 * (bytes[at + 2 + k]! | (high << 8)), 8, bytes[at + 34 + k]!);
      }
    }
  },
  /**
   * 256 numbers: d (half), 64 entries of 4 numbers, for each 32 numbers four times 7 signs and a 4-bit scale in 4
   * bytes.
   */
  IQ3_XXS({ bytes, view, out }: Blocks) {
    const values = valuesOf(packedBooks.IQ3_XXS);
    for (let i = 0, at = 0; i < out.length; i += 256, at += 98) {
      const d = half(view, at);
      for (let k = 0; k < 64; k++) {
        const word = view.getUint32(at + 66 + 4 * (k >> 3), true);
        const scale = f32(f32(d * (0.5 + (word >>> 28))) * 0.5);
        const signs = eightSigns((word >>> (7 * ((k >> 1) & 3))) & 127) >> (4 * (k & 1));
        write(out, i + 4 * k, scale, values, 4 * bytes[at + 2 + k]!, 4, signs);
      }
    }
  },
  /** 256 numbers: d (half), 64 entries' lower 8 bits, their ninth bits, 32 bytes of signs, eight 4-bit scales. */
  IQ3_S({ bytes, view, out }: Blocks) {
    const values = valuesOf(packedBooks.IQ3_S);
    for (let i = 0, at = 0; i < out.length; i += 256, at += 110) {
      const d = half(view, at);
      for (let k = 0; k < 64; k++) {
        const high = (bytes[at + 66 + (k >> 3)]! >> (k & 7)) & 1;
        const scale = f32(d * (1 + 2 * nibbleOf(bytes, at + 106, k >> 3)));
        const signs = bytes[at + 74 + (k >> 1)]! >> (4 * (k & 1));
        write(out, i + 4 * k, scale, values, 4 * (bytes[at + 2 + k]! | (high << 8)), 4, signs);
      }
    }
  },
  /**
   * 256 numbers: d (half), 32 entries' lower 8 bits; for each 32: four times 3 upper bits, a 3-bit scale, the shift's
   * sign.
   */
  IQ1_S({ bytes, view, out }: Blocks) {
    const values = valuesOf(packedBooks.IQ1_S);
    for (let i = 0, at = 0; i < out.length; i += 256, at += 50) {
      const d = half(view, at);
      for (let k = 0; k < 32; k++) {
        const word = view.getUint16(at + 34 + 2 * (k >> 2), true);
        const entry = bytes[at + 2 + k]! | (((word >> (3 * (k & 3))) & 7) << 8);
        const scale = f32(d * (2 * ((word >> 12) & 7) + 1));
        writeShifted(out, i + 8 * k, scale, values, 8 * entry, word & 0x8000 ? -DELTA : DELTA);
      }
    }
  },
  /**
   * 256 numbers: 32 entries' lower 8 bits, for each entry 3 upper bits and the shift's sign, four words that hold four
   * 3-bit scales each and in their upper 4 bits d (half).
   */
  IQ1_M({ bytes, view, out }: Blocks) {
    const values = valuesOf(packedBooks.IQ1_S);
    for (let i = 0, at = 0; i < out.length; i += 256, at += 56) {
      const word = (k: number) => view.getUint16(at + 48 + 2 * k, true);
      const d = halfOfBits((word(0) >> 12) | ((word(1) >> 8) & 0xf0) | ((word(2) >> 4) & 0xf00) | (word(3) & 0xf000));
      for (let k = 0; k < 32; k++) {
        const high = nibbleOf(bytes, at + 32, k);
        const scale = f32(d * (2 * ((word(k >> 3) >> (3 * ((k >> 1) & 3))) & 7) + 1));
        const entry = bytes[at + k]! | ((high & 7) << 8);
        writeShifted(out, i + 8 * k, scale, values, 8 * entry, high & 8 ? -DELTA : DELTA);
      }
    }
  },
  /** 32 numbers: d (half), 16 bytes with two 4-bit places in a table each (the second is 16 further). */
  IQ4_NL({ bytes, view, out }: Blocks) {
    for (let i = 0, at = 0; i < out.length; i += 32, at += 18) {
      const d = half(view, at);
      for (let j = 0; j < 16; j++) {
        const pair = bytes[at + 2 + j]!;
        out[i + j] = d * IQ4[pair & 15]!;
        out[i + j + 16] = d * IQ4[pair >> 4]!;
      }
    }
  },
  /** 256 numbers: d (half), upper 2 and lower 4 bits of eight scales, then 32 numbers at a time as in IQ4_NL. */
  IQ4_XS({ bytes, view, out }: Blocks) {
    for (let i = 0, at = 0; i < out.length; i += 256, at += 136) {
      const d = half(view, at);
      const high = view.getUint16(at + 2, true);
      for (let group = 0; group < 8; group++) {
        const scale = f32(d * ((nibbleOf(bytes, at + 4, group) | (((high >> (2 * group)) & 3) << 4)) - 32));
        for (let j = 0; j < 16; j++) {
          const pair = bytes[at + 8 + 16 * group + j]!;
          out[i + 32 * group + j] = scale * IQ4[pair & 15]!;
          out[i + 32 * group + j + 16] = scale * IQ4[pair >> 4]!;
        }
      }
    }
  },
};

/** The k-th 4-bit number of bytes that hold two each, the lower half first. */
function nibbleOf(bytes: Uint8Array, at: number, k: number): number {
  return (bytes[at + (k >> 1)]! >> (4 * (k & 1))) & 15;
}

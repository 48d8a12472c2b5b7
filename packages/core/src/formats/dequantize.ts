// ggml's block formats as float32 numbers (layouts: ggml-common.h; formulas: ggml-quants.c, dequantize_row_*).

import { type Blocks, f32, half } from './blocks.js';
import { iqReaders } from './dequantize-iq.js';
import type { GgufType } from './gguf.js';

/**
 * The numbers of a tensor.
 *
 * @param type the tensor's type.
 * @param bytes its blocks, one after the other.
 * @param elements how many numbers they hold.
 */
export function dequantize(type: GgufType, bytes: Uint8Array, elements: number): Float32Array {
  const out = new Float32Array(elements);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  readers[type]({ bytes, view, out });
  return out;
}

/** Reads 4-bit halves of 16 bytes: number j in the lower half of byte j, number j + 16 in its upper half. */
function nibble(bytes: Uint8Array, at: number, j: number): number {
  return j < 16 ? bytes[at + j]! & 15 : bytes[at + j - 16]! >> 4;
}

/** What each 4 bits of the FP4 formats mean, doubled (e2m1). */
const FP4 = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

const readers: Readonly<Record<GgufType, (blocks: Blocks) => void>> = {
  ...iqReaders,
  F64({ view, out }) {
    for (let i = 0; i < out.length; i++) out[i] = view.getFloat64(8 * i, true);
  },
  F32({ view, out }) {
    for (let i = 0; i < out.length; i++) out[i] = view.getFloat32(4 * i, true);
  },
  F16({ view, out }) {
    for (let i = 0; i < out.length; i++) out[i] = half(view, 2 * i);
  },
  BF16({ view, out }) {
    // bfloat16 is float32's upper half.
    const bits = new Uint32Array(out.buffer);
    for (let i = 0; i < out.length; i++) bits[i] = view.getUint16(2 * i, true) << 16;
  },
  /** 32 numbers: scale d (half), 32 int8; x = d q. */
  Q8_0({ view, out }) {
    for (let i = 0, at = 0; i < out.length; i += 32, at += 34) {
      const d = half(view, at);
      for (let j = 0; j < 32; j++) out[i + j] = d * view.getInt8(at + 2 + j);
    }
  },
  /** 32 numbers: d (half), 16 bytes with two 4-bit q each; x = d (q - 8). */
  Q4_0({ bytes, view, out }) {
    for (let i = 0, at = 0; i < out.length; i += 32, at += 18) {
      const d = half(view, at);
      for (let j = 0; j < 32; j++) out[i + j] = d * (nibble(bytes, at + 2, j) - 8);
    }
  },
  /** As Q4_0 with a minimum m (half) after d; x = d q + m. */
  Q4_1({ bytes, view, out }) {
    for (let i = 0, at = 0; i < out.length; i += 32, at += 20) {
      const d = half(view, at);
      const m = half(view, at + 2);
      for (let j = 0; j < 32; j++) out[i + j] = f32(d * nibble(bytes, at + 4, j)) + m;
    }
  },
  /** As Q4_0 with the fifth bits of all 32 q in 4 bytes after d; x = d (q - 16). */
  Q5_0({ bytes, view, out }) {
    for (let i = 0, at = 0; i < out.length; i += 32, at += 22) {
      const d = half(view, at);
      const high = view.getUint32(at + 2, true);
      for (let j = 0; j < 32; j++) {
        out[i + j] = d * ((nibble(bytes, at + 6, j) | (((high >>> j) & 1) << 4)) - 16);
      }
    }
  },
  /** As Q5_0 with a minimum m (half) after d; x = d q + m. */
  Q5_1({ bytes, view, out }) {
    for (let i = 0, at = 0; i < out.length; i += 32, at += 24) {
      const d = half(view, at);
      const m = half(view, at + 2);
      const high = view.getUint32(at + 4, true);
      for (let j = 0; j < 32; j++) {
        out[i + j] = f32(d * (nibble(bytes, at + 8, j) | (((high >>> j) & 1) << 4))) + m;
      }
    }
  },
  /**
   * 256 numbers: sixteen 4-bit scales and minima, 64 bytes of 2-bit q, d and dmin (half); x = d scale q - dmin minimum.
   */
  Q2_K({ bytes, view, out }) {
    for (let i = 0, at = 0; i < out.length; i += 256, at += 84) {
      const d = half(view, at + 80);
      const dmin = half(view, at + 82);
      for (let j = 0; j < 256; j++) {
        const scales = bytes[at + (j >> 4)]!;
        const q = twoBits(bytes, at + 16, j);
        out[i + j] = f32(f32(d * (scales & 15)) * q) - f32(dmin * (scales >> 4));
      }
    }
  },
  /**
   * 256 numbers: 32 bytes of third bits (1: nothing to take off), 64 of 2-bit q, sixteen 6-bit scales in 12 bytes, d
   * (half).
   */
  Q3_K({ bytes, view, out }) {
    for (let i = 0, at = 0; i < out.length; i += 256, at += 110) {
      const d = half(view, at + 108);
      for (let j = 0; j < 256; j++) {
        const k = j >> 4;
        const low = bytes[at + 96 + (k & 7)]! >> (k < 8 ? 0 : 4);
        const high = bytes[at + 104 + (k & 3)]! >> (2 * (k >> 2));
        const scale = ((low & 15) | ((high & 3) << 4)) - 32;
        const isWhole = (bytes[at + (j & 31)]! >> (j >> 5)) & 1;
        out[i + j] = f32(d * scale) * (twoBits(bytes, at + 32, j) - (isWhole ? 0 : 4));
      }
    }
  },
  /**
   * 256 numbers: d and dmin (half), eight 6-bit scales and minima in 12 bytes, 128 bytes of 4-bit q.
   * Groups of 32; x = d scale q - dmin minimum.
   */
  Q4_K({ bytes, view, out }) {
    for (let i = 0, at = 0; i < out.length; i += 256, at += 144) {
      for (let group = 0; group < 8; group++) {
        const [a, b] = scaleAndMinimum(bytes, view, at, group);
        // 32 bytes hold two groups: the even one in the lower halves, the odd one in the upper.
        const first = at + 16 + 32 * (group >> 1);
        const shift = 4 * (group & 1);
        for (let j = 0; j < 32; j++) out[i + 32 * group + j] = f32(a * ((bytes[first + j]! >> shift) & 15)) - b;
      }
    }
  },
  /** As Q4_K with 32 bytes of fifth bits (a bit for each group) in front of the q. */
  Q5_K({ bytes, view, out }) {
    for (let i = 0, at = 0; i < out.length; i += 256, at += 176) {
      for (let group = 0; group < 8; group++) {
        const [a, b] = scaleAndMinimum(bytes, view, at, group);
        const first = at + 48 + 32 * (group >> 1);
        const shift = 4 * (group & 1);
        for (let j = 0; j < 32; j++) {
          const q = ((bytes[first + j]! >> shift) & 15) | (((bytes[at + 16 + j]! >> group) & 1) << 4);
          out[i + 32 * group + j] = f32(a * q) - b;
        }
      }
    }
  },
  /** 256 numbers: 128 bytes of lower 4 bits, 64 of upper 2 bits, 16 int8 scales, d (half); x = d scale (q - 32). */
  Q6_K({ bytes, view, out }) {
    for (let i = 0, at = 0; i < out.length; i += 256, at += 210) {
      const d = half(view, at + 208);
      for (let j = 0; j < 256; j++) {
        const part = j >> 7; // two parts of 128, each of four rows of 32
        const row = (j >> 5) & 3;
        const column = j & 31;
        const low = bytes[at + 64 * part + 32 * (row & 1) + column]!;
        const high = bytes[at + 128 + 32 * part + column]!;
        const q = ((row < 2 ? low & 15 : low >> 4) | (((high >> (2 * row)) & 3) << 4)) - 32;
        out[i + j] = f32(d * view.getInt8(at + 192 + (j >> 4))) * q;
      }
    }
  },
  /** 256 numbers of -1, 0, 1: 52 bytes of 5 ternary digits (the last 4 bytes: of 4), d (half). */
  TQ1_0({ bytes, view, out }) {
    for (let i = 0, at = 0; i < out.length; i += 256, at += 54) {
      const d = half(view, at + 52);
      let to = i;
      for (const [first, count, digits] of TERNARY) {
        for (let digit = 0; digit < digits; digit++) {
          for (let j = 0; j < count; j++) {
            // A byte is a fraction of 256 in base 3; the product moves the digit in front of the point.
            const rest = (bytes[at + first + j]! * 3 ** digit) & 255;
            out[to++] = d * (((rest * 3) >> 8) - 1);
          }
        }
      }
    }
  },
  /** 256 numbers of -1, 0, 1 (2): 64 bytes of 2-bit q, d (half); x = d (q - 1). */
  TQ2_0({ bytes, view, out }) {
    for (let i = 0, at = 0; i < out.length; i += 256, at += 66) {
      const d = half(view, at + 64);
      for (let j = 0; j < 256; j++) out[i + j] = d * (twoBits(bytes, at, j) - 1);
    }
  },
  /** 32 numbers: a power of two (e8m0), 16 bytes with two FP4 each. */
  MXFP4({ bytes, out }) {
    for (let i = 0, at = 0; i < out.length; i += 32, at += 17) {
      const d = 2 ** (bytes[at]! - 128); // half of the scale: FP4 holds doubles
      for (let j = 0; j < 32; j++) out[i + j] = d * FP4[nibble(bytes, at + 1, j)]!;
    }
  },
  /** 64 numbers in four groups: four scales (e4m3 without a sign), then 8 bytes with two FP4 each for each group. */
  NVFP4({ bytes, out }) {
    for (let i = 0, at = 0; i < out.length; i += 64, at += 36) {
      for (let j = 0; j < 64; j++) {
        const byte = bytes[at + 4 + 8 * (j >> 4) + (j & 7)]!;
        out[i + j] = unsignedE4M3(bytes[at + (j >> 4)]!) * 0.5 * FP4[(j & 8) === 0 ? byte & 15 : byte >> 4]!;
      }
    }
  },
};

/** Where TQ1_0's bytes begin, how many share an order, and their digits. */
const TERNARY = [
  [0, 32, 5],
  [32, 16, 5],
  [48, 4, 4],
] as const;

/** The j-th of 256 2-bit numbers: two halves of 128, each of 32 bytes that hold j, j + 32, j + 64, j + 96. */
function twoBits(bytes: Uint8Array, at: number, j: number): number {
  return (bytes[at + 32 * (j >> 7) + (j & 31)]! >> (2 * ((j >> 5) & 3))) & 3;
}

/** d scale and dmin minimum of a Q4_K or Q5_K block's group (get_scale_min_k4). */
function scaleAndMinimum(bytes: Uint8Array, view: DataView, at: number, group: number): [number, number] {
  const byte = (i: number) => bytes[at + 4 + i]!;
  const [scale, minimum] =
    group < 4
      ? [byte(group) & 63, byte(group + 4) & 63]
      : [(byte(group + 4) & 15) | ((byte(group - 4) >> 6) << 4), (byte(group + 4) >> 4) | ((byte(group) >> 6) << 4)];
  return [f32(half(view, at) * scale), f32(half(view, at + 2) * minimum)];
}

/** 4 bits of exponent (bias 7) and 3 of fraction; 0x7f is 0. */
function unsignedE4M3(bits: number): number {
  const exponent = (bits >> 3) & 15;
  const fraction = bits & 7;
  if (bits === 0x7f) return 0;
  return exponent === 0 ? fraction * 2 ** -9 : (1 + fraction / 8) * 2 ** (exponent - 7);
}

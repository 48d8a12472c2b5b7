// ggml's block formats as float32 numbers (layouts: ggml-common.h; formulas: ggml-quants.c, dequantize_row_*).

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
  readers[type](bytes, view, out);
  return out;
}

type Reader = (bytes: Uint8Array, view: DataView, out: Float32Array) => void;

/** IEEE half precision, all 65,536 values. */
const HALVES = Float32Array.from({ length: 65_536 }, (_, bits) => {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
});

const half = (view: DataView, at: number): number => HALVES[view.getUint16(at, true)]!;

/** float32 arithmetic, as ggml does it. */
const f32 = Math.fround;

const readers: Readonly<Record<GgufType, Reader>> = {
  F32(_bytes, view, out) {
    for (let i = 0; i < out.length; i++) out[i] = view.getFloat32(4 * i, true);
  },
  F16(_bytes, view, out) {
    for (let i = 0; i < out.length; i++) out[i] = half(view, 2 * i);
  },
  BF16(_bytes, view, out) {
    // bfloat16 is float32's upper half.
    const bits = new Uint32Array(out.buffer);
    for (let i = 0; i < out.length; i++) bits[i] = view.getUint16(2 * i, true) << 16;
  },
  /** 32 numbers: scale d (half), 32 int8; x = d q. */
  Q8_0(_bytes, view, out) {
    for (let i = 0, at = 0; i < out.length; i += 32, at += 34) {
      const d = half(view, at);
      for (let j = 0; j < 32; j++) out[i + j] = d * view.getInt8(at + 2 + j);
    }
  },
  /** 32 numbers: d (half), 16 bytes with two 4-bit q each (the second in the upper half is 16 further); x = d (q - 8). */
  Q4_0(bytes, view, out) {
    for (let i = 0, at = 0; i < out.length; i += 32, at += 18) {
      const d = half(view, at);
      for (let j = 0; j < 16; j++) {
        const pair = bytes[at + 2 + j]!;
        out[i + j] = d * ((pair & 15) - 8);
        out[i + j + 16] = d * ((pair >> 4) - 8);
      }
    }
  },
  /** As Q4_0 with a minimum m (half) after d; x = d q + m. */
  Q4_1(bytes, view, out) {
    for (let i = 0, at = 0; i < out.length; i += 32, at += 20) {
      const d = half(view, at);
      const m = half(view, at + 2);
      for (let j = 0; j < 16; j++) {
        const pair = bytes[at + 4 + j]!;
        out[i + j] = f32(d * (pair & 15)) + m;
        out[i + j + 16] = f32(d * (pair >> 4)) + m;
      }
    }
  },
  /**
   * 256 numbers: d and dmin (half), eight 6-bit scales and minima in 12 bytes, 128 bytes of 4-bit q.
   * Groups of 32; x = d scale q - dmin minimum.
   */
  Q4_K(bytes, view, out) {
    for (let i = 0, at = 0; i < out.length; i += 256, at += 144) {
      const d = half(view, at);
      const dmin = half(view, at + 2);
      for (let group = 0; group < 8; group++) {
        const [scale, minimum] = scaleAndMinimum(bytes, at + 4, group);
        const a = f32(d * scale);
        const b = f32(dmin * minimum);
        // 32 bytes hold two groups: the even one in the lower halves, the odd one in the upper.
        const first = at + 16 + 32 * (group >> 1);
        const shift = 4 * (group & 1);
        for (let j = 0; j < 32; j++) out[i + 32 * group + j] = f32(a * ((bytes[first + j]! >> shift) & 15)) - b;
      }
    }
  },
  /** 256 numbers: 128 bytes of lower 4 bits, 64 of upper 2 bits, 16 int8 scales, d (half); x = d scale (q - 32). */
  Q6_K(bytes, view, out) {
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
};

/** The `group`-th 6-bit scale and minimum of a Q4_K block (get_scale_min_k4). */
function scaleAndMinimum(bytes: Uint8Array, at: number, group: number): [number, number] {
  const byte = (i: number) => bytes[at + i]!;
  if (group < 4) return [byte(group) & 63, byte(group + 4) & 63];
  return [(byte(group + 4) & 15) | ((byte(group - 4) >> 6) << 4), (byte(group + 4) >> 4) | ((byte(group) >> 6) << 4)];
}

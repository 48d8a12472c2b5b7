// ggml's block formats as float32 numbers (layouts: ggml-common.h; formulas: ggml-quants.c, dequantize_row_*).
import { type BitBlocks, cat, type DType, noGrad, op, scope, type Tensor, unpackBits } from '@promot/torch';
import {
  and,
  bitsAt,
  bytesAt,
  halvesAt,
  int8At,
  partsBeside,
  partsOf,
  type Reader,
  rowsOf,
  shiftRight,
  storedHalvesAt,
  table,
  type Unpacked,
  withBits,
} from './blocks.js';
import { iqReaders } from './dequantize-iq.js';
import { blockOf, type GgufType } from './gguf.js';

/** So many numbers at a time stay in a processor's cache. */
const atOnce = 1 << 20;

/**
 * The numbers of a tensor: float32 of this shape, on the CPU, in memory of their own.
 *
 * @param type the tensor's type.
 * @param bytes its blocks, one after the other: uint8, one dimension; they begin at an even place of their storage.
 */
export function dequantize(type: GgufType, bytes: Tensor, shape: readonly number[]): Tensor {
  return noGrad(() =>
    scope(() => {
      const block = blockOf(type);
      const count = bytes.numel / block.bytes;
      // No view of another tensor: so its memory can be given back while a packed copy of a weight stands in for it.
      const whole = op('aten::empty.memory_format', shape, 'float32', undefined, 'cpu');
      const out = whole.view(count, block.elements);
      const blocks = bytes.view(count, block.bytes);
      const most = atOnce / block.elements;
      for (let at = 0; at < count; at += most) {
        const n = Math.min(most, count - at);
        scope(() => write(readers[type](blocks.narrow(0, at, n)), out.narrow(0, at, n)));
      }
      return whole;
    }),
  );
}

function write(unpacked: Unpacked, out: Tensor): void {
  if ('low' in unpacked) {
    unpackBits(out, unpacked);
    return;
  }
  const { q, scale } = unpacked;
  out.view(...q.shape).copy_(q);
  // Groups of [N, groups, numbers]
  if (scale) out.view(...scale.shape, -1).mul_(scale.unsqueeze(-1));
}

/** What each 4 bits of the FP4 formats mean, doubled (e2m1). */
const FP4 = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/** Numbers of this type, one a block. */
const plain =
  (dtype: DType): Reader =>
  (blocks) => ({ q: blocks.clone().viewDtype(dtype) });

const readers: Readonly<Record<GgufType, Reader>> = {
  ...iqReaders,
  F64: plain('float64'),
  F32: plain('float32'),
  F16: plain('float16'),
  BF16: plain('bfloat16'),
  /** 32 numbers: scale d (half), 32 int8; x = d q. */
  Q8_0: (blocks) => ({ low: { bytes: int8At(blocks, 2, 32), width: 32, bits: 8 }, scale: storedHalvesAt(blocks, 0) }),
  /** 32 numbers: d (half), 16 bytes with two 4-bit q each; x = d (q - 8). */
  Q4_0: (blocks) => ({ low: bitsAt(blocks, 2, 16, 16, 4), offset: 8, scale: storedHalvesAt(blocks, 0) }),
  /** As Q4_0 with a minimum m (half) after d; x = d q + m. */
  Q4_1: (blocks) => ({
    low: bitsAt(blocks, 4, 16, 16, 4),
    scale: storedHalvesAt(blocks, 0),
    plus: storedHalvesAt(blocks, 2),
  }),
  /** As Q4_0 with the fifth bits of all 32 q in 4 bytes after d; x = d (q - 16). */
  Q5_0: (blocks) => ({ ...fiveBits(blocks, 2), offset: 16, scale: storedHalvesAt(blocks, 0) }),
  /** As Q5_0 with a minimum m (half) after d; x = d q + m. */
  Q5_1: (blocks) => ({ ...fiveBits(blocks, 4), scale: storedHalvesAt(blocks, 0), plus: storedHalvesAt(blocks, 2) }),
  /**
   * 256 numbers: sixteen 4-bit scales and minima, 64 bytes of 2-bit q, d and dmin (half); x = d scale q - dmin minimum.
   */
  Q2_K(blocks) {
    const scales = bytesAt(blocks, 0, 16);
    return {
      low: bitsAt(blocks, 16, 64, 32, 2),
      scale: and(scales, 15).float().mul(halvesAt(blocks, 80)),
      plus: shiftRight(scales, 4).float().mul(halvesAt(blocks, 82)).neg(),
    };
  },
  /**
   * 256 numbers: 32 bytes of third bits (1: nothing to take off), 64 of 2-bit q, sixteen 6-bit scales in 12 bytes, d
   * (half).
   */
  Q3_K(blocks) {
    const scales = withBits(
      partsOf(bytesAt(blocks, 96, 8), 4).view(-1, 16),
      partsOf(bytesAt(blocks, 104, 4), 2).view(-1, 16),
      4,
    );
    return {
      low: bitsAt(blocks, 32, 64, 32, 2),
      high: bitsAt(blocks, 0, 32, 32, 1),
      offset: 4,
      scale: scales.float().sub(32).mul(halvesAt(blocks, 108)),
    };
  },
  /**
   * 256 numbers: d and dmin (half), eight 6-bit scales and minima in 12 bytes, 128 bytes of 4-bit q.
   * Groups of 32; x = d scale q - dmin minimum. 32 bytes hold two groups: the even one in the lower halves.
   */
  Q4_K: (blocks) => ({ low: bitsAt(blocks, 16, 128, 32, 4), ...scalesAndMinima(blocks) }),
  /** As Q4_K with 32 bytes of fifth bits (a bit for each group) in front of the q. */
  Q5_K: (blocks) => ({
    low: bitsAt(blocks, 48, 128, 32, 4),
    high: bitsAt(blocks, 16, 32, 32, 1),
    ...scalesAndMinima(blocks),
  }),
  /** 256 numbers: 128 bytes of lower 4 bits, 64 of upper 2 bits, 16 int8 scales, d (half); x = d scale (q - 32). */
  Q6_K: (blocks) => ({
    low: bitsAt(blocks, 0, 128, 64, 4),
    high: bitsAt(blocks, 128, 64, 32, 2),
    offset: 32,
    scale: int8At(blocks, 192, 16).float().mul(halvesAt(blocks, 208)),
  }),
  /** 256 numbers of -1, 0, 1: 52 bytes of 5 ternary digits (the last 4 bytes: of 4), d (half). */
  TQ1_0(blocks) {
    // A byte is a fraction of 256 in base 3; the product moves the digit in front of the point.
    const digit = (bytes: Tensor, i: number) =>
      bytes
        .mul(3 ** i)
        .to('int16')
        .mul(3);
    const digits = TERNARY.flatMap(([first, count, digits]) =>
      Array.from({ length: digits }, (_, i) => digit(bytesAt(blocks, first, count), i)),
    );
    return { q: shiftRight(cat(digits, 1), 8).sub(1), scale: halvesAt(blocks, 52) };
  },
  /** 256 numbers of -1, 0, 1 (2): 64 bytes of 2-bit q, d (half); x = d (q - 1). */
  TQ2_0: (blocks) => ({ low: bitsAt(blocks, 0, 64, 32, 2), offset: 1, scale: storedHalvesAt(blocks, 64) }),
  /** 32 numbers: a power of two (e8m0), 16 bytes with two FP4 each. */
  MXFP4: (blocks) => ({
    q: rowsOf(table(FP4), partsOf(bytesAt(blocks, 1, 16), 4)).view(-1, 32),
    // Half of the scale: FP4 holds doubles.
    scale: rowsOf(table(eachByte((x) => 2 ** (x - 128))), bytesAt(blocks, 0, 1)),
  }),
  /** 64 numbers in four groups: four scales (e4m3 without a sign), then 8 bytes with two FP4 each for each group. */
  NVFP4: (blocks) => ({
    q: rowsOf(table(FP4), partsOf(bytesAt(blocks, 4, 32).view(-1, 4, 8), 4)).view(-1, 64),
    scale: rowsOf(table(eachByte((x) => unsignedE4M3(x) / 2)), bytesAt(blocks, 0, 4)).view(-1, 4),
  }),
};

/** Where TQ1_0's bytes begin, how many share an order, and their digits. */
const TERNARY = [
  [0, 32, 5],
  [32, 16, 5],
  [48, 4, 4],
] as const;

/** 32 q of 5 bits: from byte `at` on 4 bytes with the fifth bits, then 16 bytes with two lower halves each. */
function fiveBits(blocks: Tensor, at: number): Pick<BitBlocks, 'low' | 'high'> {
  const fifth = partsBeside(bytesAt(blocks, at, 4), 1);
  return { low: bitsAt(blocks, at + 4, 16, 16, 4), high: { bytes: fifth, width: 32, bits: 8 } };
}

/** d scale and -dmin minimum of the eight groups of Q4_K or Q5_K (get_scale_min_k4). */
function scalesAndMinima(blocks: Tensor): { scale: Tensor; plus: Tensor } {
  const [first, second, third] = [4, 8, 12].map((at) => bytesAt(blocks, at, 4)) as [Tensor, Tensor, Tensor];
  const scales = cat([and(first, 63), withBits(and(third, 15), shiftRight(first, 6), 4)], 1);
  const minima = cat([and(second, 63), withBits(shiftRight(third, 4), shiftRight(second, 6), 4)], 1);
  return {
    scale: scales.float().mul(halvesAt(blocks, 0)),
    plus: minima.float().mul(halvesAt(blocks, 2)).neg(),
  };
}

function eachByte(of: (byte: number) => number): number[] {
  return Array.from({ length: 256 }, (_, byte) => of(byte));
}

/** 4 bits of exponent (bias 7) and 3 of fraction; 0x7f is 0. */
function unsignedE4M3(bits: number): number {
  const exponent = (bits >> 3) & 15;
  const fraction = bits & 7;
  if (bits === 0x7f) return 0;
  return exponent === 0 ? fraction * 2 ** -9 : (1 + fraction / 8) * 2 ** (exponent - 7);
}

// What the readers of ggml's block formats share: their input and output, and half precision.

/** A tensor's blocks, and where its numbers go. */
export interface Blocks {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly out: Float32Array;
}

/** float32 arithmetic, as ggml does it. */
export const f32 = Math.fround;

let halves: Float32Array | undefined;

/** The number that 16 bits are in IEEE half precision. */
export function halfOfBits(bits: number): number {
  halves ??= Float32Array.from({ length: 65_536 }, (_, i) => {
    const sign = i & 0x8000 ? -1 : 1;
    const exponent = (i >> 10) & 31;
    const fraction = i & 1023;
    if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
  return halves[bits]!;
}

/** The half-precision number at a place, little-endian. */
export function half(view: DataView, at: number): number {
  return halfOfBits(view.getUint16(at, true));
}

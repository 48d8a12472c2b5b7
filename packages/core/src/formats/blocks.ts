// What the readers of ggml's block formats share: bytes of many blocks as tensors, taken apart by libtorch's operators.
// Shapes: N blocks.
import { type BitBlocks, type BitParts, op, stack, type Tensor, tensor, withDevice } from '@promot/torch';

/** The numbers of N blocks, computed in float32 as ggml does it: bits with their scales, or q scale. */
export type Unpacked = BitBlocks | Scaled;

export interface Scaled {
  /** Whole numbers or entries of a table, [N, ...] in the order of the block's numbers. */
  readonly q: Tensor;
  /** [N, groups], each for as many numbers of the block; absent: 1. */
  readonly scale?: Tensor;
}

/** Reads blocks, uint8 [N, bytes of a block]. */
export type Reader = (blocks: Tensor) => Unpacked;

/** `count` bytes of each block from byte `at` on: uint8 [N, count]. */
export function bytesAt(blocks: Tensor, at: number, count: number): Tensor {
  return blocks.narrow(1, at, count);
}

/** `count` bytes of each block from byte `at` on, in rows of `width`, that hold parts of `bits` bits. */
export function bitsAt(blocks: Tensor, at: number, count: number, width: number, bits: BitParts['bits']): BitParts {
  return { bytes: bytesAt(blocks, at, count), width, bits };
}

/** As `bytesAt`, seen as int8: [N, count]. */
export function int8At(blocks: Tensor, at: number, count: number): Tensor {
  return bytesAt(blocks, at, count).viewDtype('int8');
}

/**
 * Half-precision numbers, little-endian, as float32: [N, count]. They begin at an even byte of memory, and so do all
 * blocks that hold some.
 */
export function halvesAt(blocks: Tensor, at: number, count = 1): Tensor {
  return storedHalvesAt(blocks, at, count).to('float32');
}

/** As `halvesAt`, as they are stored: float16, over the bytes themselves. */
export function storedHalvesAt(blocks: Tensor, at: number, count = 1): Tensor {
  return blocks.viewDtype('float16').narrow(1, at / 2, count);
}

/** Words of 16 bits, little-endian, as int32: [N, count]. */
export function words16At(blocks: Tensor, at: number, count = 1): Tensor {
  const words = bytesAt(blocks, at, 2 * count)
    .clone()
    .viewDtype('int16')
    .to('int32');
  return and(words, 0xffff);
}

/** Words of 32 bits, little-endian, as int32: a word's highest bit is its sign. */
export function words32(bytes: Tensor): Tensor {
  return bytes.clone().viewDtype('int32');
}

export function and(x: Tensor, mask: number): Tensor {
  return op('aten::bitwise_and.Scalar', x, mask);
}

/** x >> count; of int32 with copies of the sign. */
export function shiftRight(x: Tensor, count: number): Tensor {
  return count === 0 ? x : op('aten::bitwise_right_shift.Tensor_Scalar', x, count);
}

/** x | y << count, where y's bits are not in x. */
export function withBits(x: Tensor, y: Tensor, count: number): Tensor {
  return x.add(y, 1 << count);
}

/** The parts of `bits` bits of every byte, the lowest first, along a new dimension in front of the last. */
export function partsOf(x: Tensor, bits: 1 | 2 | 4): Tensor {
  return stack(eachPart(x, bits), x.dim - 1);
}

/** As `partsOf`, with the parts of a byte side by side: [N, count] becomes [N, count 8 / bits]. */
export function partsBeside(x: Tensor, bits: 1 | 2 | 4): Tensor {
  return stack(eachPart(x, bits), x.dim).view(x.size(0), -1);
}

function eachPart(x: Tensor, bits: number): Tensor[] {
  const mask = (1 << bits) - 1;
  return Array.from({ length: 8 / bits }, (_, i) => {
    const shifted = shiftRight(x, bits * i);
    return bits * (i + 1) === 8 ? shifted : and(shifted, mask);
  });
}

/** Rows of a table [rows, width] by their places (whole numbers, any shape): [places, width]. */
export function rowsOf(table: Tensor, places: Tensor): Tensor {
  return table.indexSelect(0, places.to('int32').reshape(-1));
}

/** A table of float32 numbers on the CPU, in rows of `width`. */
export function table(values: Iterable<number>, width = 1): Tensor {
  const numbers = Float32Array.from(values);
  return withDevice('cpu', () => tensor(numbers, { shape: [numbers.length / width, width] }));
}

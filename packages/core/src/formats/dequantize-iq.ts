// ggml's IQ formats: groups of 4 or 8 numbers are entries of a code book, with signs and a scale beside
// (layouts: ggml-common.h; formulas: ggml-quants.c, dequantize_row_iq*).
import { stack, type Tensor } from '@promot/torch';
import {
  and,
  bytesAt,
  halvesAt,
  partsBeside,
  partsOf,
  type Reader,
  rowsOf,
  shiftRight,
  table,
  withBits,
  words16At,
  words32,
} from './blocks.js';
import { type PackedBook, packedBooks } from './iq-grids.js';

/** What each 4 bits of IQ4_NL and IQ4_XS mean. */
const IQ4 = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/** What IQ1 adds to every number of a group, or takes off. */
const DELTA = 0.125;

const unpacked = new Map<PackedBook, Float32Array>();

/** All numbers of a code book, an entry a row. */
function bookOf(book: PackedBook): Tensor {
  let values = unpacked.get(book);
  if (values === undefined) {
    const packed = Buffer.from(book.data, 'base64');
    const perByte = 8 / book.bits;
    const mask = (1 << book.bits) - 1;
    values = Float32Array.from({ length: packed.length * perByte }, (_, i) => {
      return book.levels[(packed[Math.floor(i / perByte)]! >> (book.bits * (i % perByte))) & mask]!;
    });
    unpacked.set(book, values);
  }
  return table(values, book.width);
}

/** Eight factors of 1 and -1 for the bits of each number, the lowest first, in rows. */
function signsOf(numbers: Tensor): Tensor {
  return rowsOf(table(eightSigns, 8), numbers);
}

const eightSigns = Float32Array.from({ length: 256 * 8 }, (_, i) => 1 - 2 * (((i >> 3) >> (i & 7)) & 1));

/** As `signsOf` for seven written signs: the eighth one makes the number of minus signs even. */
function signsOfSeven(numbers: Tensor): Tensor {
  return rowsOf(table(sevenSigns, 8), numbers);
}

const sevenSigns = Float32Array.from({ length: 128 * 8 }, (_, i) => {
  const written = eightSigns.subarray(8 * (i >> 3), 8 * (i >> 3) + 7);
  return (i & 7) < 7 ? written[i & 7]! : written.reduce((product, sign) => product * sign);
});

/** The parts of `bits` bits of each word that begin at these places, along a new last dimension. */
function partsOfWords(words: Tensor, places: readonly number[], bits: number): Tensor {
  return stack(
    places.map((place) => and(shiftRight(words, place), (1 << bits) - 1)),
    words.dim,
  );
}

/** d (s + 1/2) factor, for scales s. */
function scaleOf(d: Tensor, scales: Tensor, factor: number): Tensor {
  return scales.float().add(0.5).mul(d).mul(factor);
}

/** d (2 s + 1), for scales s. */
function oddScaleOf(d: Tensor, scales: Tensor): Tensor {
  return scales.float().mul(2).add(1).mul(d);
}

/** -delta where `minus` is not 0, else delta; a dimension more. */
function shiftOf(minus: Tensor): Tensor {
  return minus
    .ne(0)
    .float()
    .mul(-2 * DELTA)
    .add(DELTA)
    .unsqueeze(-1);
}

export const iqReaders = {
  /**
   * 256 numbers: d (half); for each 32: four entries (a byte each), four times 7 signs and a 4-bit scale in 4 bytes.
   */
  IQ2_XXS(blocks: Tensor) {
    const groups = bytesAt(blocks, 2, 64).view(-1, 8, 8);
    const words = words32(groups.narrow(2, 4, 4)).view(-1, 8);
    const signs = signsOfSeven(partsOfWords(words, [0, 7, 14, 21], 7));
    return {
      q: rowsOf(bookOf(packedBooks.IQ2_XXS), groups.narrow(2, 0, 4))
        .mul(signs)
        .view(-1, 256),
      scale: scaleOf(halvesAt(blocks, 0), and(shiftRight(words, 28), 15), 0.25),
    };
  },
  /** 256 numbers: d (half), 32 words of an entry (9 bits) and 7 signs, sixteen 4-bit scales. */
  IQ2_XS(blocks: Tensor) {
    const words = words16At(blocks, 2, 32);
    const signs = signsOfSeven(shiftRight(words, 9));
    return {
      q: rowsOf(bookOf(packedBooks.IQ2_XS), and(words, 511)).mul(signs).view(-1, 256),
      scale: scaleOf(halvesAt(blocks, 0), partsBeside(bytesAt(blocks, 66, 8), 4), 0.25),
    };
  },
  /**
   * 256 numbers: d (half), 32 entries' lower 8 bits, 32 bytes of signs, the entries' upper 2 bits, sixteen 4-bit
   * scales.
   */
  IQ2_S(blocks: Tensor) {
    const entries = withBits(bytesAt(blocks, 2, 32).to('int32'), partsBeside(bytesAt(blocks, 66, 8), 2), 8);
    return {
      q: rowsOf(bookOf(packedBooks.IQ2_S), entries)
        .mul(signsOf(bytesAt(blocks, 34, 32)))
        .view(-1, 256),
      scale: scaleOf(halvesAt(blocks, 0), partsBeside(bytesAt(blocks, 74, 8), 4), 0.25),
    };
  },
  /**
   * 256 numbers: d (half), 64 entries of 4 numbers, for each 32 numbers four times 7 signs and a 4-bit scale in 4
   * bytes.
   */
  IQ3_XXS(blocks: Tensor) {
    const words = words32(bytesAt(blocks, 66, 32)).view(-1, 8);
    const signs = signsOfSeven(partsOfWords(words, [0, 7, 14, 21], 7));
    return {
      q: rowsOf(bookOf(packedBooks.IQ3_XXS), bytesAt(blocks, 2, 64))
        .view(-1, 8)
        .mul(signs)
        .view(-1, 256),
      scale: scaleOf(halvesAt(blocks, 0), and(shiftRight(words, 28), 15), 0.5),
    };
  },
  /** 256 numbers: d (half), 64 entries' lower 8 bits, their ninth bits, 32 bytes of signs, eight 4-bit scales. */
  IQ3_S(blocks: Tensor) {
    const entries = withBits(bytesAt(blocks, 2, 64).to('int32'), partsBeside(bytesAt(blocks, 66, 8), 1), 8);
    const signs = signsOf(bytesAt(blocks, 74, 32));
    return {
      q: rowsOf(bookOf(packedBooks.IQ3_S), entries).view(-1, 8).mul(signs).view(-1, 256),
      scale: oddScaleOf(halvesAt(blocks, 0), partsBeside(bytesAt(blocks, 106, 4), 4)),
    };
  },
  /**
   * 256 numbers: d (half), 32 entries' lower 8 bits; for each 32: four times 3 upper bits, a 3-bit scale, the shift's
   * sign.
   */
  IQ1_S(blocks: Tensor) {
    const words = words16At(blocks, 34, 8);
    const high = partsOfWords(words, [0, 3, 6, 9], 3).view(-1, 32);
    const entries = withBits(bytesAt(blocks, 2, 32).to('int32'), high, 8);
    const values = rowsOf(bookOf(packedBooks.IQ1_S), entries).view(-1, 8, 32);
    return {
      q: values.add(shiftOf(and(words, 0x8000))),
      scale: oddScaleOf(halvesAt(blocks, 0), and(shiftRight(words, 12), 7)),
    };
  },
  /**
   * 256 numbers: 32 entries' lower 8 bits, for each entry 3 upper bits and the shift's sign, four words that hold four
   * 3-bit scales each and in their upper 4 bits d (half).
   */
  IQ1_M(blocks: Tensor) {
    const words = words16At(blocks, 48, 4);
    const upper = shiftRight(words, 12);
    const bits = [0, 1, 2, 3].map((i) => upper.narrow(1, i, 1).mul(16 ** i)).reduce((sum, one) => sum.add(one));
    const high = partsBeside(bytesAt(blocks, 32, 16), 4);
    const entries = withBits(bytesAt(blocks, 0, 32).to('int32'), and(high, 7), 8);
    const values = rowsOf(bookOf(packedBooks.IQ1_S), entries).view(-1, 32, 8);
    return {
      q: values.add(shiftOf(and(high, 8))).view(-1, 256),
      scale: oddScaleOf(
        bits.to('int16').viewDtype('float16').float(),
        partsOfWords(words, [0, 3, 6, 9], 3).view(-1, 16),
      ),
    };
  },
  /** 32 numbers: d (half), 16 bytes with two 4-bit places in a table each (the second is 16 further). */
  IQ4_NL: (blocks: Tensor) => ({
    q: rowsOf(table(IQ4), partsOf(bytesAt(blocks, 2, 16), 4)).view(-1, 32),
    scale: halvesAt(blocks, 0),
  }),
  /** 256 numbers: d (half), upper 2 and lower 4 bits of eight scales, then 32 numbers at a time as in IQ4_NL. */
  IQ4_XS(blocks: Tensor) {
    const high = partsOfWords(words16At(blocks, 2), [0, 2, 4, 6, 8, 10, 12, 14], 2).view(-1, 8);
    const scales = withBits(partsBeside(bytesAt(blocks, 4, 4), 4).to('int32'), high, 4);
    return {
      q: rowsOf(table(IQ4), partsOf(bytesAt(blocks, 8, 128).view(-1, 8, 16), 4)).view(-1, 256),
      scale: scales.float().sub(32).mul(halvesAt(blocks, 0)),
    };
  },
} satisfies Record<string, Reader>;

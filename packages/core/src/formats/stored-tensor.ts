// Where a tensor lies in a checkpoint file, independent of libtorch.

/** Bytes of one element of each dtype that checkpoints hold; the names are torch's. */
export const dtypeSizes = {
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
} as const;

/** A dtype that checkpoints hold. */
export type StoredDtype = keyof typeof dtypeSizes;

/** A tensor in a file: little-endian elements that may be mapped without a copy. */
export interface StoredTensor {
  name: string;
  dtype: StoredDtype;
  /** Sizes of the dimensions; empty for a scalar. */
  shape: number[];
  /** Elements (not bytes) from one index of a dimension to the next. */
  strides: number[];
  path: string;
  /** Where in the file the element at index 0, 0, ... begins. */
  byteOffset: number;
  /** Bytes from there to the end of the last element that the shape and strides reach; 0 for an empty tensor. */
  byteLength: number;
}

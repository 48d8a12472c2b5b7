// One row of a data set.

/** Field names to values: JSON's, and `ExactNumber`. */
export type DataRecord = Readonly<Record<string, unknown>>;

/** True for an object with fields, false for arrays, exact numbers, bytes, null and all else. */
export function isRecord(value: unknown): value is DataRecord {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

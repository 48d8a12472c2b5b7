// `toEqual` walks long buffers and arrays of numbers element by element, for seconds each. These testers take them
// whole.
import { expect } from 'vitest';

const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array;
const isLong = (value: unknown): value is readonly unknown[] => Array.isArray(value) && value.length > 500;

/** Undefined: `toEqual` decides, and shows what differs. */
function quickEquality(a: unknown, b: unknown): boolean | undefined {
  if (isBytes(a) && isBytes(b) && a.constructor === b.constructor) return Buffer.compare(a, b) === 0;
  if (!isLong(a) || !isLong(b) || a.length !== b.length) return undefined;
  return a.every((value, i) => typeof value === 'number' && Object.is(value, b[i])) || undefined;
}

expect.addEqualityTesters([quickEquality]);

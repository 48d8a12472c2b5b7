// Numbers that stay what their file says: 9007199254740993, 1.0 and 1e999 are none of JavaScript's.

/** A number whose text JavaScript would not give back: too many digits, a zero behind the point, an exponent. */
export class ExactNumber {
  /** @param text as the file writes it, such as `1.0` */
  constructor(readonly text: string) {}

  /** The nearest JavaScript number; infinite where there is none. */
  valueOf(): number {
    return Number(this.text);
  }

  toString(): string {
    return this.text;
  }

  toJSON(): number {
    return Number(this.text);
  }
}

/** A number from its text: a JavaScript number where that prints the same text, else an `ExactNumber`. */
export function exactNumber(text: string): number | ExactNumber {
  const number = Number(text);
  return String(number) === text ? number : new ExactNumber(text);
}

// The numbers of a table's cells as text, the same in HTML and Markdown.
import type { Cell } from './report.js';

const minus = '−';

/** With a typographic minus sign. */
function shownNumber(value: number, digits = 1): string {
  return value.toFixed(digits).replace('-', minus);
}

/** With its sign always; none where the shown digits are all zero. */
export function signed(value: number, digits = 1): string {
  const size = Math.abs(value).toFixed(digits);
  if (Number(size) === 0) return size;
  return `${value < 0 ? minus : '+'}${size}`;
}

/** The cell's main entry: its number with the spread over seeds, its text, or a dash. */
export function mainEntry({ value, digits, spread, text }: Cell): string {
  if (value === undefined) return text ?? '–';
  return spread === undefined
    ? shownNumber(value, digits)
    : `${shownNumber(value, digits)} ± ${shownNumber(spread, digits)}`;
}

/** The confidence interval in brackets. */
export function intervalEntry({ interval, digits }: Cell): string | undefined {
  return interval && `[${interval.map((end) => shownNumber(end, digits)).join(', ')}]`;
}

/** 1 where the difference is an improvement, -1 where it is a loss, 0 where its shown digits are all zero. */
export function direction(difference: number, digits: number | undefined, lowerIsBetter: boolean): -1 | 0 | 1 {
  if (Number(Math.abs(difference).toFixed(digits ?? 1)) === 0) return 0;
  return difference > 0 !== lowerIsBetter ? 1 : -1;
}

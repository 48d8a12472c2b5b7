// Tables: text in columns, and Markdown.

/**
 * Rows of cells as lines, the columns aligned.
 * @param numbers columns that stand to the right; `all-but-first`: all, but the first.
 */
export function alignedTable(
  rows: readonly (readonly string[])[],
  { numbers = 'none' }: { readonly numbers?: 'none' | 'all-but-first' } = {},
): string {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const place = (cell: string, i: number) =>
    i > 0 && numbers === 'all-but-first' ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!);
  return rows.map((row) => row.map(place).join('  ').trimEnd()).join('\n');
}

/**
 * A table in GitHub's Markdown. Cells stand as they are given.
 * @param numbers whether a column's cells are numbers, which stand to the right
 */
export function markdownTable(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  numbers: (column: number) => boolean = () => false,
): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rule = `|${columns.map((_, i) => (numbers(i) ? '---:|' : '---|')).join('')}`;
  return [line(columns), rule, ...rows.map(line)].join('\n');
}

// Report -> Markdown (GitHub's), with the figures as files beside it.

import { markdownTable } from '../base/table.js';
import { allowedInXml } from './markup.js';
import { intervalEntry, mainEntry, signed } from './numbers.js';
import type { Cell, Report, Section, SideBySide, Table } from './report.js';

/**
 * report.md as text. The figures are links to `./NAME.svg`. All texts of the report are shown as they are, never as
 * markup.
 */
export function markdownReport({ title, headline, summary, sections, facts }: Report): string {
  const said = headline === undefined ? [] : [`**${inline(headline)}**`];
  const blocks = [`# ${inline(title)}`, ...said, ...summary.map(paragraph), ...sections.flatMap(sectionOf)];
  if (facts.length > 0)
    blocks.push('## Facts', facts.map(([name, value]) => `- ${inline(name)}: ${inline(value)}`).join('\n'));
  return `${blocks.join('\n\n')}\n`;
}

function sectionOf({ heading, text = [], table, figure, sideBySide }: Section): string[] {
  return [
    `## ${inline(heading)}`,
    ...text.map(paragraph),
    ...(table ? tableOf(table) : []),
    ...(figure ? [`![${inline(figure.title)}](./${figure.name}.svg)`] : []),
    ...(sideBySide ? outputsOf(sideBySide) : []),
  ];
}

function tableOf({ columns, rows, note }: Table): string[] {
  const isText = columns.map((_, i) => rows.every(({ cells }) => i > 0 && cells[i - 1]?.text !== undefined));
  const table = markdownTable(
    columns.map(inline),
    rows.map(({ name, cells }) => [inline(name), ...cells.map(cellOf)]),
    (column) => column > 0 && !isText[column],
  );
  return [table, ...(note === undefined ? [] : [paragraph(note)])];
}

function cellOf(cell: Cell): string {
  const { difference, digits, paper } = cell;
  const parts = [
    inline(mainEntry(cell)),
    difference === undefined ? undefined : `(${signed(difference, digits)})`,
    intervalEntry(cell),
    paper === undefined ? undefined : `paper ${paper}`,
  ];
  return parts.filter((part) => part !== undefined).join(' ');
}

function outputsOf({ names, items }: SideBySide): string[] {
  const said = (text: string) => (text.trim() === '' ? '*(nothing)*' : code(text));
  return items.map(({ task, input, reference, outputs, right }) =>
    [
      `**${inline(task)}**: ${code(input)}`,
      '',
      ...outputs.map(
        (output, i) => `- ${inline(names[i]!)}: ${right === undefined ? '' : right[i] ? '✓ ' : '✗ '}${said(output)}`,
      ),
      `- reference: ${said(reference)}`,
    ].join('\n'),
  );
}

/** A code span: everything in it is text. Line breaks become spaces. */
function code(text: string): string {
  const flat = allowedInXml(text).replace(/\s+/gu, ' ').trim();
  const longest = Math.max(0, ...[...flat.matchAll(/`+/gu)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  const pad = flat.startsWith('`') || flat.endsWith('`') ? ' ' : '';
  return `${fence}${pad}${flat}${pad}${fence}`;
}

/** Text in one line, with everything escaped that Markdown, GitHub's tables, HTML or mathematics would read. */
function inline(text: string): string {
  return (
    allowedInXml(text)
      .replace(/\s+/gu, ' ')
      .replace(/[\\`*[\]|~$]/gu, '\\$&')
      // Within a word an underscore is one.
      .replace(/(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu, '\\_')
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
  );
}

/** At the start of a line some characters begin a heading, a list, a quotation. */
function paragraph(text: string): string {
  return inline(text.trim())
    .replace(/^[#>+=-]/u, '\\$&')
    .replace(/^(\d+)([.)])/u, '$1\\$2');
}

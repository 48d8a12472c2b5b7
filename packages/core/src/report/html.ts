// Report -> one HTML file that needs nothing else: no scripts, no other files; for phones, wide screens, dark screens
// and paper.
import { drawFigure } from './figure.js';
import { escapeMarkup } from './markup.js';
import { direction, intervalEntry, mainEntry, signed } from './numbers.js';
import type { Cell, Figure, Report, Section, SideBySide, Table } from './report.js';

/** index.html as text. All texts of the report are shown as they are, never as markup. */
export async function htmlReport(report: Report): Promise<string> {
  const sections: string[] = [];
  for (const section of report.sections) sections.push(await sectionOf(section));
  const facts = report.facts.map(([name, value]) => `<dt>${escapeMarkup(name)}</dt><dd>${escapeMarkup(value)}</dd>`);
  const headline = report.headline === undefined ? '' : `<p class="headline">${escapeMarkup(report.headline)}</p>\n`;
  const factList =
    facts.length === 0 ? '' : `<section>\n<h2>Facts</h2>\n<dl class="facts">\n${facts.join('\n')}\n</dl>\n</section>\n`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeMarkup(report.title)}</title>
<style>
${style}
</style>
</head>
<body>
<main>
<h1>${escapeMarkup(report.title)}</h1>
${headline}${paragraphs(report.summary)}
${sections.join('\n')}
${factList}</main>
</body>
</html>
`;
}

const paragraphs = (texts: readonly string[]) => texts.map((text) => `<p>${escapeMarkup(text)}</p>`).join('\n');

async function sectionOf({ heading, text = [], table, figure, sideBySide }: Section): Promise<string> {
  const parts = [
    `<section>\n<h2>${escapeMarkup(heading)}</h2>`,
    paragraphs(text),
    table && tableOf(table, heading),
    figure && (await figureOf(figure)),
    sideBySide && outputsOf(sideBySide),
    '</section>',
  ];
  return parts.filter(Boolean).join('\n');
}

function tableOf({ columns, rows, lowerIsBetter = [], note }: Table, heading: string): string {
  const head = columns.map((column) => `<th scope="col">${escapeMarkup(column)}</th>`).join('');
  const body = rows.map(({ name, cells }) => {
    const entries = cells.map((cell, i) => cellOf(cell, columns[i + 1]!, lowerIsBetter));
    return `<tr><th scope="row">${breakable(name)}</th>${entries.join('')}</tr>`;
  });
  // A box that scrolls must be within reach of the keyboard.
  const parts = [
    `<div class="wide${columns.length > mostOnPhone ? ' many' : ''}" tabindex="0" role="region" ` +
      `aria-label="${escapeMarkup(heading)}">`,
    `<table>\n<thead><tr>${head}</tr></thead>`,
    `<tbody>\n${body.join('\n')}\n</tbody>\n</table>\n</div>`,
    ...(note === undefined ? [] : [`<p class="note">${escapeMarkup(note)}</p>`]),
  ];
  return parts.join('\n');
}

/** A name that may break behind a comma and an equals sign, as those of runs have them. */
const breakable = (name: string) => escapeMarkup(name).replaceAll(/[,=](?=\S)/gu, '$&<wbr>');

/** Of more columns a phone shows one below the other. */
const mostOnPhone = 3;

const directions = { '1': 'better', '0': 'same', '-1': 'worse' } as const;

function cellOf(cell: Cell, column: string, lowerIsBetter: readonly string[]): string {
  const { difference, digits, paper } = cell;
  const interval = intervalEntry(cell);
  const kindOf = (by: number) => directions[`${direction(by, digits, lowerIsBetter.includes(column))}`];
  const more = [
    difference === undefined ? '' : `<span class="${kindOf(difference)}">${signed(difference, digits)}</span>`,
    interval === undefined ? '' : `<span class="interval">${interval}</span>`,
    paper === undefined ? '' : `<span class="paper">paper ${paper}</span>`,
  ].filter((part) => part !== '');
  const main = escapeMarkup(mainEntry(cell));
  const kind = cell.value === undefined && cell.text !== undefined ? ' class="text"' : '';
  const small = more.length > 0 ? `<small>${more.join(' ')}</small>` : '';
  return `<td${kind} data-column="${escapeMarkup(column)}">${main}${small}</td>`;
}

async function figureOf(figure: Figure): Promise<string> {
  const drawn = await drawFigure(figure, 'page');
  return `<figure>\n<figcaption>${escapeMarkup(figure.title)}</figcaption>\n${drawn}</figure>`;
}

function outputsOf({ names, items }: SideBySide): string {
  const said = (text: string) => (text.trim() === '' ? '<i>(nothing)</i>' : escapeMarkup(text));
  return items
    .map(({ task, input, reference, outputs, right }) => {
      const lines = outputs.map((output, i) => {
        const damage = right?.[0] && !right[i] ? ' class="damage"' : '';
        const mark = right === undefined ? '' : `<span class="mark">${right[i] ? '✓' : '✗'}</span> `;
        return `<dt>${escapeMarkup(names[i]!)}</dt><dd${damage}>${mark}${said(output)}</dd>`;
      });
      return (
        `<article>\n<h3>${escapeMarkup(task)}</h3>\n<p class="prompt">${escapeMarkup(input)}</p>\n` +
        `<dl>\n${lines.join('\n')}\n` +
        `<dt class="reference">reference</dt><dd class="reference">${said(reference)}</dd>\n</dl>\n</article>`
      );
    })
    .join('\n');
}

const style = `:root { color-scheme: light dark; --text: #1b1b1b; --page: #fff; --faint: #595959; --line: #8886;
  --better: #00644b; --worse: #a33b00 }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e6e6; --page: #161616; --faint: #a8a8a8; --better: #4fd6ab; --worse: #ff9d66 }
}
@media print {
  :root { color-scheme: light; --text: #000; --page: #fff; --faint: #333; --better: #00523d; --worse: #8a3200 }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif;
  -webkit-text-size-adjust: 100% }
main { max-width: 56rem; margin: 0 auto; padding: 1rem }
h1 { line-height: 1.2; overflow-wrap: anywhere; font-size: 1.5rem }
.headline { font-size: clamp(1.35rem, 4vw, 1.9rem); line-height: 1.3; font-weight: 600; max-width: none;
  text-wrap: balance; margin: .4rem 0 1rem }
h2 { margin: 2.2rem 0 .6rem; line-height: 1.25; overflow-wrap: anywhere }
p { max-width: 44rem; overflow-wrap: anywhere }
.note { color: var(--faint); font-size: .875rem; margin-top: .4rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top }
thead th { vertical-align: bottom; font-size: .875rem }
td { white-space: nowrap }
td.text { white-space: normal; text-align: left; overflow-wrap: anywhere; min-width: 6rem }
td small { display: block; font-size: .8125rem; line-height: 1.35; color: var(--faint) }
td small span { display: block }
tr > th:first-child { text-align: left; position: sticky; left: 0; background: var(--page); min-width: 6.5rem;
  max-width: min(20rem, 40vw); overflow-wrap: break-word; padding-left: 0 }
.better { color: var(--better) } .worse { color: var(--worse) }
figure { margin: 1rem 0; max-width: 40rem; break-inside: avoid }
figcaption { font-weight: 600; margin-bottom: .4rem }
figure svg { display: block; width: 100%; height: auto; --plot-background: var(--page) }
article { border-top: 1px solid var(--line); padding: .2rem 0 .8rem; break-inside: avoid }
h3 { margin: .6rem 0 .2rem; font-size: 1rem }
.prompt { margin: .2rem 0 .6rem; white-space: pre-wrap; font-family: ui-monospace, monospace; font-size: .875rem }
dl { display: grid; grid-template-columns: minmax(5rem, max-content) 1fr; gap: .2rem 1rem; margin: 0 }
dt { font-weight: 600; max-width: 12rem; overflow-wrap: anywhere }
dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; min-width: 0 }
.reference { color: var(--faint) }
.damage { color: var(--worse); background: color-mix(in srgb, var(--worse) 12%, transparent); border-radius: .2rem;
  padding: 0 .25rem }
.mark { font-family: system-ui }
.facts { font-size: .875rem }
@media (max-width: 30rem) {
  dt { max-width: 8rem } .facts dt { max-width: none }
  .facts { grid-template-columns: 1fr; gap: 0 } .facts dd { margin-bottom: .5rem }
}
@media screen and (max-width: 34rem) {
  .many table, .many tbody, .many tr, .many td, .many th { display: block }
  .many thead { position: absolute; clip-path: inset(50%) }
  .many tr { border-top: 2px solid var(--line); padding: .4rem 0 }
  .many td, .many tr > th:first-child { border: 0; padding: .12rem 0; max-width: none; position: static }
  .many td { display: grid; grid-template-columns: 1fr auto; gap: 0 .8rem; white-space: normal }
  .many td.text { text-align: right }
  .many td::before { content: attr(data-column); text-align: left; color: var(--faint); overflow-wrap: anywhere }
  .many td small { grid-column: 1 / -1 } .many td small span { display: inline; margin-left: .5rem }
}
@media print {
  body { font-size: 10.5pt } main { max-width: none; padding: 0 }
  .wide { overflow: visible } th, td { padding: .2rem .4rem } td { white-space: normal }
  h2, h3 { break-after: avoid } tr { break-inside: avoid } figure { max-width: 12cm }
}`;

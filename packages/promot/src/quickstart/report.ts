// The quickstart's result as text, Markdown and one self-contained HTML page.
import type { QuickstartResult } from './quickstart.js';

/** Header and rows of the main table. */
function tableOf({ contenders, labels }: QuickstartResult): string[][] {
  const [first] = contenders;
  const columns = [first!.target, ...first!.others];
  return [
    ['model', ...columns.map(({ task, metric }) => `${task} (${metric})`), `says ${labels.join('/')} elsewhere`],
    ...contenders.map(({ name, target, others, formShare }) => [
      name,
      ...[target, ...others].map(({ score }) => score.toFixed(1)),
      `${formShare.toFixed(1)} %`,
    ]),
  ];
}

/** The table for a terminal: one line a task, one column a model. */
export function resultTable(result: QuickstartResult): string {
  const rows = transpose(tableOf(result));
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[i]!))).join('  '))
    .join('\n');
}

function transpose(rows: readonly string[][]): string[][] {
  return rows[0]!.map((_, column) => rows.map((row) => row[column]!));
}

const explanation = ({ contenders, labels }: QuickstartResult): string =>
  `Three models on the built-in lab: as pretrained, fine-tuned plainly on ${contenders[0]!.target.task}, and fine-tuned by ProMoT ` +
  `(its soft prompt is attached for ${contenders[0]!.target.task} only). The last line is the share of outputs on the other ` +
  `tasks that begin with ${labels.join(' or ')}: the answers of a model that has forgotten everything but its task's form.`;

const poorModel =
  'The pretrained model was made in a minute because this copy of promot ships none: it knows little, and so there is little to forget.';

/** report.md */
export function markdownReport(result: QuickstartResult): string {
  const line = (cells: readonly string[]) => `| ${cells.map(markdownCell).join(' | ')} |`;
  const table = ([head, ...rows]: readonly string[][]) =>
    [line(head!), `|${head!.map((_, i) => (i === 0 ? '---|' : '---:|')).join('')}`, ...rows.map(line)].join('\n');
  const names = result.contenders.map(({ name }) => name);
  return [
    '# Quickstart',
    explanation(result),
    ...(result.pretrainedInPlace ? [poorModel] : []),
    table(transpose(tableOf(result))),
    '## What they say',
    ...result.sideBySide.map(({ task, input, reference, outputs }) =>
      [
        `**${task}**: ${markdownCell(input)}`,
        '',
        ...outputs.map((output, i) => `- ${names[i]}: ${markdownCell(output) || '(nothing)'}`),
        `- right: ${markdownCell(reference)}`,
      ].join('\n'),
    ),
    `Took ${Math.round(result.seconds)} seconds.`,
    '',
  ].join('\n\n');
}

function markdownCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replace(/\s+/gu, ' ');
}

/** index.html: no scripts, no other files. */
export function htmlReport(result: QuickstartResult): string {
  const [head, ...rows] = transpose(tableOf(result));
  const names = result.contenders.map(({ name }) => name);
  const cells = (row: readonly string[], tag: 'th' | 'td') =>
    row.map((cell, i) => (i === 0 ? `<th scope="row">${html(cell)}</th>` : `<${tag}>${html(cell)}</${tag}>`)).join('');
  const prompts = result.sideBySide.map(
    ({ task, input, reference, outputs }) =>
      `<section><h3>${html(task)}</h3><p>${html(input)}</p><dl>${outputs
        .map((output, i) => `<dt>${html(names[i]!)}</dt><dd>${html(output) || '(nothing)'}</dd>`)
        .join('')}<dt>right</dt><dd>${html(reference)}</dd></dl></section>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>promot quickstart</title>
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 45rem; margin: 1rem auto; padding: 0 1rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #8886; text-align: right; white-space: nowrap }
th:first-child { text-align: left }
section { border-top: 1px solid #8886 }
section p { overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem }
dt { font-weight: 600 } dd { margin: 0; overflow-wrap: anywhere }
</style></head><body>
<h1>Quickstart</h1>
<p>${html(explanation(result))}</p>${result.pretrainedInPlace ? `\n<p>${html(poorModel)}</p>` : ''}
<div class="wide"><table><thead><tr>${cells(head!, 'th')}</tr></thead>
<tbody>${rows.map((row) => `<tr>${cells(row, 'td')}</tr>`).join('\n')}</tbody></table></div>
<h2>What they say</h2>
${prompts.join('\n')}
<p>Took ${Math.round(result.seconds)} seconds.</p>
</body></html>
`;
}

function html(text: string): string {
  const names: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/gu, (character) => names[character]!);
}

// A report's files: index.html, report.md, and a file for each figure.
import { join } from 'node:path';
import { makeFolder, writeText } from '../base/write.js';
import { drawFigure } from './figure.js';
import { htmlReport } from './html.js';
import { markdownReport } from './markdown.js';
import type { Report } from './report.js';

/**
 * Writes index.html (self-contained), report.md and NAME.svg for each figure into a folder, which is made where need
 * be; files of these names are replaced. Returns their paths, index.html first. Errors: an Error for a figure whose
 * name is no file name or is another figure's, too; nothing is written then.
 */
export async function writeReport(out: string, report: Report): Promise<string[]> {
  const figures = report.sections.flatMap(({ figure }) => (figure ? [figure] : []));
  for (const [i, { name }] of figures.entries()) {
    if (!/^[A-Za-z0-9-]+$/u.test(name)) throw new Error(`figure name "${name}": letters, digits and hyphens only`);
    if (figures.findIndex((figure) => figure.name === name) !== i) throw new Error(`two figures are named ${name}`);
  }
  const files = new Map<string, string>();
  files.set('index.html', await htmlReport(report));
  files.set('report.md', markdownReport(report));
  for (const figure of figures) files.set(`${figure.name}.svg`, await drawFigure(figure, 'file'));
  makeFolder(out);
  for (const [name, text] of files) await writeText(join(out, name), text);
  return [...files.keys()].map((name) => join(out, name));
}

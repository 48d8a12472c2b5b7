// A report with awkward texts and every kind of entry, drawn as HTML, Markdown and SVG.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseHTML } from 'linkedom';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { drawFigure } from './figure.js';
import { htmlReport } from './html.js';
import { markdownReport } from './markdown.js';
import type { Figure, Report } from './report.js';
import { writeReport } from './write.js';

const nasty = `<b onclick="x">&amp; 'quoted' | *stars* \`ticks\` [link](http://x) $x$ \u0001</script>`;
const lines: Figure = {
  name: 'loss',
  title: `Loss ${nasty}`,
  x: 'step',
  y: 'loss <nats>',
  kind: 'lines',
  series: [
    {
      name: nasty,
      points: [
        { x: 0, y: 3.25, interval: [3.125, 3.5] },
        { x: 10, y: 1.75, interval: [1.5, 2] },
      ],
    },
    { name: 'long', points: Array.from({ length: 100 }, (_, x) => ({ x, y: 2 - x / 100 })) },
    { name: 'empty', points: [] },
  ],
};
const scatter: Figure = {
  name: 'trade-off',
  title: 'Trade-off',
  x: 'target',
  y: 'others',
  kind: 'scatter',
  series: [
    {
      name: 'A',
      points: [
        { x: 61.5, y: 11.25, label: `step 7 ${nasty}` },
        { x: 42.5, y: 33.75 },
      ],
    },
  ],
  front: [
    { x: 61.5, y: 11.25 },
    { x: 42.5, y: 33.75 },
  ],
};
test('labels of points that lie together stand apart', async () => {
  const names = ['one method', 'another method', 'a third method'];
  const series = names.map((label, i) => ({ name: label, points: [{ x: 99 + i / 2, y: 50 + i / 10, label }] }));
  const far = { name: 'far', points: [{ x: 0, y: 0 }] };
  const svg = await drawFigure({ ...scatter, front: undefined, series: [...series, far] }, 'file');
  const place =
    /<g transform="translate\([\d.-]+,([\d.-]+)\)"[^>]*><text transform="translate\([\d.]+,([\d.]+)\)"[^>]*>[^<]*method</gu;
  const heights = [...svg.matchAll(place)].map(([, shift, y]) => Number(shift) + Number(y));
  expect(heights).toHaveLength(3);
  heights.sort((a, b) => a - b);
  for (const [i, height] of heights.slice(1).entries()) expect(height - heights[i]!).toBeGreaterThanOrEqual(11);
});
const bars: Figure = {
  name: 'bars',
  title: 'Bars',
  x: 'task',
  y: 'score',
  kind: 'bars',
  series: ['A', 'B'].map((name, i) => ({
    name,
    points: [
      { x: nasty, y: 77.5 + i, interval: [70.25, 80.75] },
      { x: 'other', y: 12.5 + i },
    ],
  })),
};
const report: Report = {
  title: `Report ${nasty}`,
  summary: ['1. No list.', '# No heading', nasty],
  sections: [
    {
      heading: `Scores ${nasty}`,
      table: {
        columns: ['model', 'task_a', 'nll', nasty],
        lowerIsBetter: ['nll'],
        rows: [
          {
            name: 'pretrained',
            cells: [{ value: 41.25, interval: [38.5, 44.04] }, { value: 2.5, digits: 2 }, { text: nasty }],
          },
          {
            name: nasty,
            cells: [
              { value: 30.15, difference: -11.1, interval: [25.5, 35.5], paper: 29.37 },
              { value: 2.125, digits: 2, difference: -0.375 },
              {},
            ],
          },
          {
            name: 'same',
            cells: [
              { value: 41.27, spread: 0.64, difference: 0.02 },
              { value: -3.5, digits: 2, difference: 6 },
            ],
          },
        ],
        note: `A note ${nasty}`,
      },
    },
    { heading: 'Lines', text: [nasty], figure: lines },
    { heading: 'Scatter', figure: scatter },
    { heading: 'Bars', figure: bars },
    {
      heading: 'Outputs',
      sideBySide: {
        names: ['A', nasty],
        items: [{ task: nasty, input: `Who\n${nasty}?`, reference: '`Tisa`', outputs: ['', nasty] }],
      },
    },
  ],
  facts: [
    ['seed', '17'],
    [nasty, nasty],
  ],
};

/**
 * What is wrong with a text as XML: tags that do not match, attributes without quotes, bare `&` or `<`; with HTML's
 * void tags.
 */
function faults(text: string): string[] {
  const found: string[] = [];
  const open: string[] = [];
  const tag = /<(?:!doctype html|(\/?)([A-Za-z][\w-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?))>/gu;
  const rest = text.replace(/<style>[^<]*<\/style>/gu, '').replace(tag, (_, end, name, attributes, selfClosed) => {
    const names = [...(attributes ?? '').matchAll(/([\w:-]+)=/gu)].map(([, attribute]) => attribute);
    if (new Set(names).size !== names.length) found.push(`attributes of ${name} twice`);
    if (name === undefined || selfClosed || name === 'meta' || name === 'wbr') return '';
    if (!end) open.push(name);
    else if (open.pop() !== name) found.push(`</${name}>`);
    return attributes.includes('&') ? attributes : '';
  });
  if (/[<>]/u.test(rest)) found.push(`stray: ${rest.match(/.{0,20}[<>].{0,20}/u)}`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: XML forbids them
  if (/&(?!(amp|lt|gt|quot|#39|#\d+|#x[\da-f]+);)|[\u0000-\u0008]/iu.test(rest))
    found.push('bare & or control character');
  return [...found, ...open];
}

describe('HTML', () => {
  let page: string;
  let document: ReturnType<typeof parseHTML>['document'];
  beforeAll(async () => {
    page = await htmlReport(report);
    ({ document } = parseHTML(page));
  });
  const texts = (selector: string): string[] =>
    [...document.querySelectorAll(selector)].map((element: { textContent: string }) => element.textContent.trim());

  test('is well-formed and needs nothing else', () => {
    expect(faults(page)).toEqual([]);
    expect(page).not.toMatch(/<script|<link|<img|@import|src=|href=|url\((?!#)/u);
  });

  test('shows texts as they are', () => {
    const shown = nasty.replace('\u0001', '\ufffd');
    expect(texts('h1')).toEqual([`Report ${shown}`]);
    expect(texts('main > p')).toEqual(['1. No list.', '# No heading', shown]);
    expect(document.querySelector('b')).toBeNull();
    expect(texts('tbody th')[1]).toBe(shown);
    expect(texts('article .prompt')).toEqual([`Who\n${shown}?`]);
    expect(texts('article dd')).toEqual(['(nothing)', shown, '`Tisa`']);
    expect(texts('.facts dd')).toEqual(['17', shown]);
    expect(texts('figcaption')[0]).toBe(`Loss ${shown}`);
  });

  test('has every number of the tables, differences signed and coloured', () => {
    expect(texts('tbody tr:nth-child(1) td').slice(0, 2)).toEqual(['41.3[38.5, 44.0]', '2.50']);
    expect(texts('tbody tr:nth-child(2) td')).toEqual(['30.1−11.1 [25.5, 35.5] paper 29.37', '2.13−0.38', '–']);
    expect(texts('tbody tr:nth-child(3) td')).toEqual(['41.3 ± 0.60.0', '−3.50+6.00']);
    expect(texts('.worse')).toEqual(['−11.1', '+6.00']);
    expect(texts('.better')).toEqual(['−0.38']);
    expect(texts('.same')).toEqual(['0.0']);
  });

  test('gives every figure a title and a description, and every id once', () => {
    const ids = [...document.querySelectorAll('[id]')].map((element: { id: string }) => element.id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const svg of document.querySelectorAll('figure > svg'))
      for (const id of svg.getAttribute('aria-labelledby').split(' ')) expect(ids).toContain(id);
    for (const [, id] of page.matchAll(/url\(#([^)]+)\)/gu)) expect(ids).toContain(id);
  });
});

describe('Markdown', () => {
  const text = markdownReport(report);

  test('escapes what would be read as markup', () => {
    const shown =
      `&lt;b onclick="x">&amp;amp; 'quoted' \\| \\*stars\\* \\\`ticks\\\` \\[link\\](http://x) \\$x\\$ ` +
      '\ufffd&lt;/script>';
    expect(text).toContain(`# Report ${shown}\n`);
    expect(text).toContain(`\n1\\. No list.\n`);
    expect(text).toContain(`\n\\# No heading\n`);
    expect(text).toContain(`- ${shown}: ${shown}\n`);
    // Code spans hold anything but their own fence.
    expect(text).toContain('**: ``Who <b onclick="x">&amp; \'quoted\' | *stars* `ticks`');
    expect(text).toContain('- reference: `` `Tisa` ``\n');
    expect(text).toContain('- A: *(nothing)*\n');
    expect(text.replace(/(`+).+?\1/gu, '')).not.toMatch(/<[a-z]/u);
  });

  test('has every number of the tables', () => {
    expect(text).toContain('| model | task_a | nll | ');
    expect(text).toContain('|---|---:|---:|---:|\n');
    expect(text).toContain('| pretrained | 41.3 [38.5, 44.0] | 2.50 | ');
    expect(text).toContain(' | 30.1 (−11.1) [25.5, 35.5] paper 29.37 | 2.13 (−0.38) | – |\n');
    expect(text).toContain('| same | 41.3 ± 0.6 (0.0) | −3.50 (+6.00) |');
    for (const name of ['loss', 'trade-off', 'bars']) expect(text).toContain(`](./${name}.svg)`);
  });
});

describe('figures', () => {
  test.each([lines, scatter, bars])('$name is a file of its own with every number in it', async (figure) => {
    const svg = await drawFigure(figure, 'file');
    expect(faults(svg)).toEqual([]);
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" /u);
    expect(svg).toContain('fill="#fff"/>');
    expect(svg).not.toMatch(/<script|<style|<image|href=|NaN|undefined/u);
    for (const { name, points } of figure.series)
      for (const { x, y, interval = [] } of name === 'long' ? [points[0]!, points.at(-1)!] : points) {
        if (typeof x === 'number') expect(svg).toContain(`${x}, ${y}`);
        for (const number of [y, ...interval]) expect(svg).toContain(String(number));
      }
  });

  test('series differ without their colours', async () => {
    const svg = await drawFigure(lines, 'page');
    const { document } = parseHTML(svg);
    const marks = [...document.querySelectorAll('[aria-label="line"]')] as { getAttribute(name: string): string }[];
    const dashes = marks.map((mark) => mark.getAttribute('stroke-dasharray') ?? 'none');
    // Each in the plot and in the legend; the empty one in the legend only.
    expect(new Set(dashes).size).toBe(3);
    expect(svg).not.toContain('fill="#fff"/>');
    const hatched = await drawFigure(bars, 'page');
    expect(new Set(hatched.match(/url\(#figure-bars-hatching-\d\)/gu)).size).toBe(2);
  });

  test('nothing to draw is drawn, a word as a place of a line is refused', async () => {
    for (const kind of ['lines', 'scatter', 'bars'] as const)
      expect(faults(await drawFigure({ ...lines, kind, series: [] }, 'file'))).toEqual([]);
    await expect(
      drawFigure({ ...lines, series: [{ name: 'words', points: [{ x: 'a', y: 1 }] }] }, 'file'),
    ).rejects.toThrow('series words: x is "a", not a number');
  });
});

describe('files', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'promot-report-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('the page, the Markdown and each figure', async () => {
    const out = join(folder, 'a', 'b');
    const paths = await writeReport(out, report);
    expect(paths.map((path) => basename(path))).toEqual([
      'index.html',
      'report.md',
      'loss.svg',
      'trade-off.svg',
      'bars.svg',
    ]);
    expect(readdirSync(out).sort()).toEqual(paths.map((path) => basename(path)).sort());
    expect(readFileSync(paths[0]!, 'utf8')).toBe(await htmlReport(report));
  });

  test('a figure may not leave the folder or take another one’s place', async () => {
    const out = join(folder, 'c');
    const named = (...names: string[]) => ({
      ...report,
      sections: names.map((name) => ({ heading: name, figure: { ...bars, name } })),
    });
    await expect(writeReport(out, named('../x'))).rejects.toThrow('figure name "../x"');
    await expect(writeReport(out, named('x', 'x'))).rejects.toThrow('two figures are named x');
    expect(readdirSync(folder)).not.toContain('c');
  });
});

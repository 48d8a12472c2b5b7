// Figure -> SVG by Observable Plot on a linkedom document. Series differ in colour and, for print in black and white,
// in marker, dash or hatching; the legend is part of the drawing. Plot is imported at the first figure: it takes half a
// second.
import { allowedInXml, escapeMarkup, wrapped } from './markup.js';
import type { Figure, FigurePoint } from './report.js';

type Plot = typeof import('@observablehq/plot');
type Mark = import('@observablehq/plot').Markish;
type SymbolName = import('@observablehq/plot').SymbolType;

/**
 * `file`: with its own background and title. `page`: in the colours of the page around it, which gives it a caption.
 */
type FigurePlace = 'file' | 'page';

// User units. Narrow on purpose: on a phone the letters shrink by a quarter only.
const width = 480;
const plotHeight = 300;
const fontSize = 13;
const lineHeight = 20;
/** Mean width of a letter, for what is laid out without a browser. */
const letterWidth = 0.56 * fontSize;

/** Okabe and Ito's colours without black and yellow, then grey: they show on light and on dark. */
const colors = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#888888'];
const symbols: readonly SymbolName[] = ['circle', 'triangle', 'square', 'diamond', 'wye', 'star'];
/** Five, so that colour, marker and dash repeat together only after 210 series. */
const dashes = ['none', '7 3', '2 3', '9 3 2 3', '4 2'];
/** More points than this get markers on some only. */
const fewPoints = 25;
const someMarkers = 8;

const colorOf = (i: number) => colors[i % colors.length]!;
const symbolOf = (i: number) => symbols[i % symbols.length]!;
const dashOf = (i: number) => dashes[i % dashes.length]!;

/**
 * Draws a figure as one `<svg>` element without scripts, links or style sheets of its own. In a page its ids begin with
 * the figure's name. Errors: an Error for a point of lines or scatter whose x is not a number.
 */
export async function drawFigure(figure: Figure, place: FigurePlace): Promise<string> {
  const [plot, { parseHTML }] = await Promise.all([import('@observablehq/plot'), import('linkedom')]);
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const draw: Draw = (options) => {
    const svg = plot.plot({ document, className: 'plot', width, style: { fontSize: `${fontSize}px` }, ...options });
    // Its style sheet would speak for the whole page.
    for (const style of svg.querySelectorAll('style')) style.remove();
    return svg;
  };
  const title = place === 'file' ? wrapped(figure.title, Math.floor((width - 20) / (letterWidth * 1.15))) : [];
  const titleHeight = title.length * lineHeight + (title.length > 0 ? 8 : 0);
  const legend = drawLegend(plot, draw, figure);
  const body = drawBody(plot, draw, figure);
  const height = titleHeight + legend.height + body.height;
  const id = (part: string) => `figure-${figure.name}-${part}`;
  const color = place === 'file' ? ' color="#1b1b1b" style="--plot-background:#fff"' : '';
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" ` +
      `height="${height}"${color} `,
    `fill="currentColor" font-family="system-ui, sans-serif" font-size="${fontSize}" role="img" `,
    `aria-labelledby="${id('title')} ${id('description')}">`,
    `<title id="${id('title')}">${escapeMarkup(figure.title)}</title>`,
    `<desc id="${id('description')}">${escapeMarkup(describe(figure))}</desc>`,
    figure.kind === 'bars' ? hatchings(figure) : '',
    place === 'file' ? `<rect width="${width}" height="${height}" fill="#fff"/>` : '',
    ...title.map(
      (line, i) => `<text x="10" y="${(i + 1) * lineHeight}" font-weight="600">${escapeMarkup(line)}</text>`,
    ),
    placed(legend.svg, titleHeight),
    placed(body.svg, titleHeight + legend.height),
    '</svg>\n',
  ].join('');
}

/** What Plot gives, as far as it is used here: there is no DOM in Node's types. */
interface Drawn {
  querySelectorAll(selector: string): Iterable<{ remove(): void }>;
  setAttribute(name: string, value: string): void;
  toString(): string;
}
type Draw = (options: import('@observablehq/plot').PlotOptions) => Drawn;

function placed(svg: Drawn, y: number): string {
  svg.setAttribute('y', String(y));
  return svg.toString();
}

/** In words: what is drawn, and of each series its first and last point. */
function describe({ kind, x, y, series }: Figure): string {
  const point = (p: FigurePoint) => `${p.label === undefined ? '' : `${p.label} `}(${shown(p.x)}, ${shown(p.y)})`;
  const parts = series.map(({ name, points }) => {
    if (points.length === 0) return `${name}: nothing`;
    if (kind !== 'lines' && points.length <= fewPoints) return `${name}: ${points.map(point).join(', ')}`;
    const ends = points.length === 1 ? point(points[0]!) : `${point(points[0]!)} to ${point(points.at(-1)!)}`;
    return `${name}: ${ends}, ${points.length} points`;
  });
  const kinds = { lines: 'Lines', scatter: 'Points', bars: 'Bars' };
  return `${kinds[kind]}; across: ${x}; upward: ${y}. ${parts.join('; ')}.`;
}

/** Six significant digits, and no more than the number has. */
function shown(value: number | string): string {
  return typeof value === 'string' ? value : String(Number(value.toPrecision(6)));
}

/** What a pointer over a mark shows. */
const tip = (name: string, { x, y, interval, label }: FigurePoint): string =>
  allowedInXml(
    `${name}${label === undefined ? '' : ` ${label}`}: ${shown(x)}, ${shown(y)}` +
      (interval === undefined ? '' : ` [${interval.map(shown).join(', ')}]`),
  );

interface NumberPoint extends FigurePoint {
  readonly x: number;
}

function numeric(points: readonly FigurePoint[], name: string): NumberPoint[] {
  return points.map((point) => {
    if (typeof point.x !== 'number') throw new Error(`series ${name}: x is "${point.x}", not a number`);
    return { ...point, x: point.x };
  });
}

function drawBody(plot: Plot, draw: Draw, figure: Figure): { svg: Drawn; height: number } {
  return figure.kind === 'bars' ? drawBars(plot, draw, figure) : drawPoints(plot, draw, figure);
}

function drawPoints(
  plot: Plot,
  draw: Draw,
  { kind, x, y, series, front, atLeast = {} }: Figure,
): { svg: Drawn; height: number } {
  const all = series.map(({ name, points }) => ({ name, points: numeric(points, name) }));
  const marks: Mark[] = [plot.gridY({ strokeOpacity: 0.15 }), plot.frame({ strokeOpacity: 0.3 })];
  const every = all.flatMap(({ points }) => points);
  const xs = every.map((point) => point.x);
  const ys = every.flatMap((point) => [point.y, ...(point.interval ?? [])]);
  const [xDomain, yDomain] = [domain(xs, atLeast.x), domain(ys, atLeast.y)];
  const [marginLeft, marginTop, marginBottom] = [52, 26, 44];
  // Lines begin at the axis; single points are whole.
  const inset = kind === 'scatter' ? 10 : 0;
  if (front)
    marks.push(
      plot.line(
        [...numeric(front, 'front')].sort((a, b) => a.x - b.x),
        { x: 'x', y: 'y', ...frontLine },
      ),
    );
  all.forEach(({ name, points }, i) => {
    const [stroke, symbol] = [colorOf(i), symbolOf(i)];
    if (kind === 'lines') {
      const band = points.filter(({ interval }) => interval !== undefined);
      const ends = { x: 'x', y1: (p: FigurePoint) => p.interval![0], y2: (p: FigurePoint) => p.interval![1] };
      if (band.length > 0) marks.push(plot.areaY(band, { ...ends, fill: stroke, fillOpacity: 0.15 }));
      marks.push(plot.line(points, { x: 'x', y: 'y', ...line(i) }));
    } else
      marks.push(
        plot.ruleX(
          points.filter(({ interval }) => interval !== undefined),
          { x: 'x', y1: (p: FigurePoint) => p.interval![0], y2: (p: FigurePoint) => p.interval![1], stroke },
        ),
      );
    const marked = kind === 'lines' ? someOf(points, i) : points;
    marks.push(
      plot.dot(marked, { x: 'x', y: 'y', fill: stroke, symbol, r: 4, title: (p: FigurePoint) => tip(name, p) }),
    );
  });
  const frame = {
    x: [marginLeft + inset, width - 20 - inset],
    y: [plotHeight - marginBottom - inset, marginTop + inset],
  };
  // More would cover each other: then only the pointer tells.
  const labelled = every.filter(({ label }) => label !== undefined);
  for (const { point, dx, dy, left } of labelPlaces(labelled.length <= fewPoints ? labelled : [], (p) => [
    scaled(p.x, xDomain, frame.x),
    scaled(p.y, yDomain, frame.y),
  ]))
    marks.push(
      plot.text([point], {
        x: 'x',
        y: 'y',
        text: (p: FigurePoint) => allowedInXml(p.label!),
        dx,
        dy,
        textAnchor: left ? 'end' : 'start',
        fill: 'currentColor',
        fontSize: labelSize,
        stroke: 'var(--plot-background)',
        strokeWidth: 3,
      }),
    );
  const svg = draw({
    height: plotHeight,
    marginLeft,
    marginTop,
    marginBottom,
    inset,
    x: { label: allowedInXml(x), domain: xDomain, nice: true, ticks: 6 },
    y: { label: allowedInXml(y), domain: yDomain, nice: true, ticks: 6 },
    marks,
  });
  return { svg, height: plotHeight };
}

const labelSize = fontSize - 1;

/** Where a value lies in user units, but for the rounding of the axis. */
function scaled(value: number, [low, high]: readonly number[], [from, to]: readonly number[]): number {
  return from! + ((value - low!) / (high! - low!)) * (to! - from!);
}

interface LabelPlace {
  readonly point: NumberPoint;
  readonly dx: number;
  readonly dy: number;
  /** Whether it ends at the point, rather than begins there. */
  readonly left: boolean;
}

/**
 * Labels on the side where there is room, each moved up or down as little as keeps it off the labelled points and the
 * labels before it. What two series say of one place is said once.
 */
function labelPlaces(
  points: readonly NumberPoint[],
  at: (point: NumberPoint) => readonly [number, number],
): LabelPlace[] {
  const isFirst = ({ x, y, label }: NumberPoint, i: number) =>
    points.findIndex((p) => p.x === x && p.y === y && p.label === label) === i;
  const taken = points.map((point) => {
    const [x, y] = at(point);
    return { from: x - 6, to: x + 6, y };
  });
  return points.filter(isFirst).map((point) => {
    const [x, y] = at(point);
    const left = x > width * 0.6;
    const length = point.label!.length * letterWidth;
    const [from, to] = left ? [x - 8 - length, x - 8] : [x + 8, x + 8 + length];
    const isFree = (dy: number) =>
      taken.every((box) => box.to < from || to < box.from || Math.abs(box.y - (y + dy)) >= labelSize);
    const tries = Array.from({ length: 60 }, (_, i) => -6 + (i % 2 === 0 ? 1 : -1) * 3 * Math.ceil(i / 2));
    const dy = tries.find((offset) => y + offset > 10 && y + offset < plotHeight - 40 && isFree(offset)) ?? -6;
    taken.push({ from, to, y: y + dy });
    return { point, dx: left ? -8 : 8, dy, left };
  });
}

/**
 * From the smallest to the greatest, with room around a single value; at least `span` wide, and within 0 and 100 where
 * the values are.
 */
function domain(values: readonly number[], span = 0): [low: number, high: number] {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return [0, 1];
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  if (high - low < span) {
    const middle = (low + high) / 2;
    const [from, to] = [middle - span / 2, middle + span / 2];
    if (low < 0 || high > 100) return [from, to];
    return from < 0 ? [0, span] : to > 100 ? [100 - span, 100] : [from, to];
  }
  if (low < high) return [low, high];
  // Shares and losses that stay 0 go nowhere below it.
  return low === 0 ? [0, 1] : [low - 1, high + 1];
}

/** Of many points the ones that get a marker, not the same ones in each series. */
function someOf<T>(points: readonly T[], series: number): readonly T[] {
  if (points.length <= fewPoints) return points;
  const gap = points.length / someMarkers;
  const first = gap * (0.3 + 0.15 * (series % 4));
  return Array.from(
    { length: someMarkers },
    (_, k) => points[Math.min(points.length - 1, Math.floor(first + k * gap))]!,
  );
}

const line = (i: number) => ({ stroke: colorOf(i), strokeDasharray: dashOf(i), strokeWidth: 1.8 });
const frontLine = { stroke: 'currentColor', strokeDasharray: '3 3', strokeWidth: 1.2 };

function drawBars(plot: Plot, draw: Draw, { name: figureName, x, y, series }: Figure): { svg: Drawn; height: number } {
  const labels = [...new Set(series.flatMap(({ points }) => points.map((point) => allowedInXml(String(point.x)))))];
  const longest = Math.max(0, ...labels.map((label) => label.length));
  const ys = series.flatMap(({ points }) => points.flatMap((p) => [p.y, ...(p.interval ?? [])]));
  // Labels that do not fit side by side are turned.
  const turned = longest * letterWidth > (width - 70) / Math.max(1, labels.length);
  const marginBottom = turned ? 40 + longest * letterWidth * Math.sin(Math.PI / 5) : 44;
  const marginLeft = turned ? Math.max(52, longest * letterWidth * 0.55) : 52;
  const height = plotHeight - 44 + marginBottom;
  const marks: Mark[] = [plot.gridY({ strokeOpacity: 0.15 })];
  series.forEach(({ name, points }, i) => {
    const at = { fx: (p: FigurePoint) => allowedInXml(String(p.x)), x: () => name };
    const title = (p: FigurePoint) => tip(name, p);
    marks.push(
      plot.barY(points, { ...at, y: 'y', fill: hatchingUrl(figureName, i), stroke: colorOf(i), inset: 0.5, title }),
    );
    const sure = points.filter(({ interval }) => interval !== undefined);
    const whisker = { stroke: 'currentColor', strokeWidth: 1.2 };
    marks.push(
      plot.ruleX(sure, {
        ...at,
        y1: (p: FigurePoint) => p.interval![0],
        y2: (p: FigurePoint) => p.interval![1],
        ...whisker,
      }),
    );
    for (const end of [0, 1] as const)
      marks.push(
        plot.tickY(sure, { ...at, y: (p: FigurePoint) => p.interval![end], ...whisker, inset: 6 / series.length }),
      );
  });
  marks.push(plot.ruleY([0]));
  if (labels.length > 0)
    marks.push(
      plot.axisFx({
        anchor: 'bottom',
        label: allowedInXml(x),
        tickSize: 0,
        ...(turned && { tickRotate: -36, labelOffset: marginBottom - 4 }),
      }),
    );
  const svg = draw({
    height,
    marginLeft,
    marginTop: 26,
    marginBottom,
    fx: { domain: labels, padding: 0.15 },
    x: { domain: series.map(({ name }) => name), axis: null, padding: 0.05 },
    y: { label: allowedInXml(y), domain: domain([0, ...ys]), nice: true, ticks: 6 },
    marks,
  });
  return { svg, height };
}

const hatchingId = (figure: string, i: number) => `figure-${figure}-hatching-${i}`;
const hatchingUrl = (figure: string, i: number) => `url(#${hatchingId(figure, i)})`;

/** A filling for each series: its colour, and lines of another direction or distance. */
function hatchings({ name, series }: Figure): string {
  const lines = ['', 'M0 4H8', 'M4 0V8', 'M0 8L8 0', 'M0 0L8 8', 'M0 4H8M4 0V8'];
  return `<defs>${series
    .map((_, i) => {
      const fill = `<rect width="8" height="8" fill="${colorOf(i)}" fill-opacity="0.75"/>`;
      const path = `<path d="${lines[i % lines.length]}" stroke="#fff" stroke-width="1.5"/>`;
      return (
        `<pattern id="${hatchingId(name, i)}" width="8" height="8" ` +
        `patternUnits="userSpaceOnUse">${fill}${path}</pattern>`
      );
    })
    .join('')}</defs>`;
}

/** A legend entry's place in user units. */
interface Entry {
  readonly text: string;
  readonly x: number;
  readonly y: number;
}

function drawLegend(plot: Plot, draw: Draw, { name, kind, series, front }: Figure): { svg: Drawn; height: number } {
  const names = [...series.map((one) => one.name), ...(front ? ['no point beats these on both'] : [])];
  const swatch = 34;
  const longest = Math.floor((width - swatch - 20) / letterWidth);
  const entries: Entry[] = [];
  let [x, y] = [10, lineHeight / 2];
  for (const full of names) {
    const text = allowedInXml(full.length > longest ? `…${full.slice(full.length - longest + 1)}` : full);
    const needs = swatch + text.length * letterWidth + 14;
    if (x > 10 && x + needs > width) [x, y] = [10, y + lineHeight];
    entries.push({ text, x, y });
    x += needs;
  }
  const height = y + lineHeight / 2 + 4;
  const marks: Mark[] = entries.flatMap((entry, i): Mark[] => {
    const text = plot.text([entry], {
      x: (e: Entry) => e.x + swatch,
      y: 'y',
      text: 'text',
      textAnchor: 'start',
      fill: 'currentColor',
    });
    const stroke = (look: object) =>
      plot.line([entry.x, entry.x + swatch - 8], { x: (at: number) => at, y: entry.y, ...look });
    if (i >= series.length) return [stroke(frontLine), text];
    if (kind === 'bars') {
      const box = { x1: entry.x + 8, x2: entry.x + swatch - 8, y1: entry.y - 7, y2: entry.y + 7 };
      return [plot.rect([entry], { ...ends(box), fill: hatchingUrl(name, i), stroke: colorOf(i) }), text];
    }
    const dot = plot.dot([entry], {
      x: entry.x + swatch / 2 - 4,
      y: entry.y,
      fill: colorOf(i),
      symbol: symbolOf(i),
      r: 4,
    });
    return kind === 'lines' ? [stroke(line(i)), dot, text] : [dot, text];
  });
  const scale = (length: number) => ({ axis: null, domain: [0, length], range: [0, length] });
  return { svg: draw({ height, margin: 0, x: scale(width), y: scale(height), marks }), height };
}

/** Constant channels: Plot takes a bare number for x1 as a constant only in a function. */
function ends(box: Readonly<Record<'x1' | 'x2' | 'y1' | 'y2', number>>) {
  return { x1: () => box.x1, x2: () => box.x2, y1: () => box.y1, y2: () => box.y2 };
}

// What the real experiment found, as a report: the front of target against kept, a table of all looks, what it was made
// with.
import { type Figure, paretoFront, type Report, type Table } from '@promot/core/report';
import type { Look } from './experiment.js';

/** Measures that are percent right: their mean is what is kept. */
const percentRight = ['arc-easy', 'piqa', 'lambada'];
const lowerIsBetter = (measure: string) => /^(bits|nats|form)/u.test(measure);

/** The mean of the tasks that are scored in percent. */
export function meanKept({ kept }: Pick<Look, 'kept'>): number {
  const values = Object.entries(kept).flatMap(([name, value]) =>
    percentRight.some((one) => name.startsWith(one)) ? [value] : [],
  );
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** One picture: the target across, what is kept upward, a series a method and rate. */
export function frontFigure(looks: readonly Look[]): Figure {
  const before = looks.find(({ method }) => method === 'before');
  const lines = new Map<string, Look[]>();
  for (const look of looks)
    if (look.method !== 'before') lines.set(seriesOf(look), [...(lines.get(seriesOf(look)) ?? []), look]);
  const point = (look: Look) => ({ x: look.target, y: meanKept(look), label: `step ${look.step}` });
  const all = [...lines].map(([name, own]) => ({ name, points: own.map(point) }));
  return {
    name: 'front',
    title: 'What is learned and what is kept',
    x: 'target, percent right',
    y: 'mean of ARC-easy, PIQA and LAMBADA, percent right',
    kind: 'scatter',
    series: [...(before ? [{ name: 'before', points: [{ x: before.target, y: meanKept(before) }] }] : []), ...all],
    front: paretoFront(all.flatMap(({ points }) => points)),
  };
}

/** A row a look. */
export function looksTable(looks: readonly Look[]): Table {
  const measures = Object.keys(looks[0]?.kept ?? {});
  return {
    columns: ['method, rate', 'step', 'target', ...measures],
    lowerIsBetter: measures.filter(lowerIsBetter),
    rows: looks.map((look) => ({
      name: seriesOf(look),
      cells: [
        { value: look.step, digits: 0 },
        { value: look.target },
        ...measures.map((name) => ({ value: look.kept[name], digits: /^(bits|nats)/u.test(name) ? 3 : 1 })),
      ],
    })),
    note: 'Kept abilities are asked without the soft prompt. Percent right; bits a byte of XSum articles; nats a token of references.',
  };
}

export function realReport(looks: readonly Look[], facts: Report['facts']): Report {
  return {
    title: 'What a real model learns and what it keeps',
    summary: [
      'Each point is a model at one moment of its training. The target is asked with the soft prompt where the method has one, ' +
        'everything else without it.',
    ],
    sections: [
      { heading: 'Gained and kept', figure: frontFigure(looks) },
      { heading: 'All looks', table: looksTable(looks) },
    ],
    facts,
  };
}

const seriesOf = ({ method, rate }: Look) => (rate === undefined ? method : `${method}, rate ${rate}`);

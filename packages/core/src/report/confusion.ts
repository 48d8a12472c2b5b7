// Of a task with labels: which label was right, and which was answered.
import type { Spoken } from '../artifacts/samples-file.js';
import { labelReader } from '../metrics/labels.js';
import type { Section } from './report.js';

/** More labels than this make a table that nobody reads. */
const mostLabels = 12;
const none = 'none of them';

/**
 * A table of counts: a row a right label, a column an answered one. None where the references are no small set of
 * labels that occur again and again.
 */
export function confusionSection(name: string, task: string, samples: readonly Spoken[]): Section[] {
  const labels = [...new Set(samples.map(({ reference }) => reference))].sort();
  if (labels.length < 2 || labels.length > mostLabels || samples.length < 2 * labels.length) return [];
  const labelOf = labelReader(labels);
  const counts = new Map<string, number>();
  const key = (right: string, said: string) => JSON.stringify([right, said]);
  for (const { reference, output } of samples) {
    const said = labelOf(output);
    const place = key(reference, labels.find((label) => label === said) ?? none);
    counts.set(place, (counts.get(place) ?? 0) + 1);
  }
  return [
    {
      heading: `Right and answered labels: ${name} on ${task}`,
      text: [`${samples.length} examples. A row is the right label, a column what was answered.`],
      table: {
        columns: ['right label', ...labels, none],
        rows: labels.map((right) => ({
          name: right,
          cells: [...labels, none].map((said) => ({ value: counts.get(key(right, said)) ?? 0, digits: 0 })),
        })),
      },
    },
  ];
}

// `promot metric`: any metric on files of predictions and references.

import { UserError } from '../base/errors.js';
import { readSingleTexts, readTexts } from '../data/texts.js';
import { ChosenMetric, metrics } from './registry.js';

/** What `promot metric --json` prints. */
export interface MetricReport {
  readonly metric: string;
  /** 0 to 100. */
  readonly score: number;
  readonly n: number;
  readonly signature: string;
  /** What a reader of the score must know, where there is something. */
  readonly notes?: readonly string[];
}

/**
 * Scores a file of predictions against a file of references: plain text with one a line, or `.jsonl` with a JSON string
 * a line (references: also lists of strings, all of them acceptable). Errors: a UserError for an unknown metric or
 * setting, and for files that are not as they should be, with the line.
 *
 * @example const { score } = await computeMetricOnFiles('bleu', 'out.txt', 'ref.txt', { tokenize: 'intl' });
 */
export async function computeMetricOnFiles(
  name: string,
  predictionsFile: string,
  referencesFile: string,
  settings: Readonly<Record<string, unknown>> = {},
): Promise<MetricReport> {
  const chosen = new ChosenMetric(metrics.get(name), settings);
  if (chosen.metric.needs !== 'output') throw new UserError(`${name} needs a model: it does not score texts`);
  const predictions = await readSingleTexts(predictionsFile);
  const references = (await readTexts(referencesFile)).map((texts) => (typeof texts === 'string' ? [texts] : texts));
  if (predictions.length !== references.length) {
    const [p, r] = [predictions.length, references.length];
    throw new UserError(`${predictionsFile} has ${p} lines but ${referencesFile} has ${r}: they must go together`);
  }
  const answers = references.map((list, i) => ({ output: predictions[i]!, references: list }));
  const { score, n, signature, notes } = chosen.score(answers);
  return { metric: name, score, n, signature, ...(notes && { notes }) };
}

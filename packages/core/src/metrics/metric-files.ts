// `promot metric`: any metric on files of predictions and references.

import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { UserError } from '../base/errors.js';
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
  const predictions = await readTexts(predictionsFile);
  const several = predictions.findIndex((texts) => typeof texts !== 'string');
  if (several !== -1) throw new UserError(`${predictionsFile} line ${several + 1}: a prediction is one JSON string`);
  const references = (await readTexts(referencesFile)).map((texts) => (typeof texts === 'string' ? [texts] : texts));
  if (predictions.length !== references.length) {
    const [p, r] = [predictions.length, references.length];
    throw new UserError(`${predictionsFile} has ${p} lines but ${referencesFile} has ${r}: they must go together`);
  }
  const answers = references.map((list, i) => ({ output: predictions[i] as string, references: list }));
  const { score, n, signature, notes } = chosen.score(answers);
  return { metric: name, score, n, signature, ...(notes && { notes }) };
}

/** The lines of a file: texts, or (only in `.jsonl`) lists of texts. */
async function readTexts(file: string): Promise<(string | string[])[]> {
  const content = await readFile(file).catch(() => {
    throw new UserError(`cannot read ${file}`);
  });
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch {
    throw new UserError(`${file} is not UTF-8 text`);
  }
  if (text === '') throw new UserError(`${file} is empty`);
  // Only newlines end lines (U+2028 and its like may stand in a text); the last one is optional.
  const lines = text.replace(/\r?\n$/u, '').split(/\r?\n/u);
  if (extname(file) !== '.jsonl') return lines;
  return lines.map((line, index) => {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw new UserError(`${file} line ${index + 1}: malformed JSON; each line should be a JSON string`);
    }
    if (typeof value === 'string') return value;
    if (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string')) return value;
    throw new UserError(`${file} line ${index + 1}: a JSON string (or an array of strings) is expected`);
  });
}

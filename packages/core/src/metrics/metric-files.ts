// `promot metric`: any metric on files of predictions and references.

import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { didYouMean } from '../base/nearest-name.js';
import { metrics } from './index.js';
import { type MetricName, type MetricSettings, metricNames } from './metric.js';

/** What `promot metric --json` prints. */
export interface MetricReport {
  readonly metric: MetricName;
  /** 0 to 100. */
  readonly score: number;
  readonly n: number;
  readonly signature: string;
}

const settingsSchema = z.strictObject({
  tokenize: z.enum(['13a', 'intl']).optional(),
  stemmer: z.union([z.boolean(), z.enum(['true', 'false']).transform((value) => value === 'true')]).optional(),
  normalize: z.enum(['squad', 'trivia-qa']).optional(),
});

/** Settings from the command line's `key=value` texts. Errors: a UserError for unknown keys and values. */
export function parseMetricSettings(settings: Readonly<Record<string, unknown>>): MetricSettings {
  const parsed = settingsSchema.safeParse(settings);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const known = Object.keys(settingsSchema.shape);
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!;
    throw new UserError(
      `unknown metric setting "${key}"${didYouMean(key, known) || `; known ones are ${known.join(', ')}`}`,
    );
  }
  const values = { tokenize: '13a, intl', stemmer: 'true, false', normalize: 'squad, trivia-qa' };
  const key = issue.path[0] as keyof typeof values;
  throw new UserError(`metric setting ${key}=${String(settings[key])}: it should be one of ${values[key]}`);
}

/**
 * Scores a file of predictions against one of references. Files are plain text with one a line, or `.jsonl` with one
 * JSON string a line; a line of references may also be an array of strings, all of them acceptable.
 *
 * @param settings as on the command line: `tokenize` (13a, intl), `stemmer` (true, false), `normalize` (squad, trivia-qa).
 * Errors: a UserError for an unknown metric or setting, a missing or empty file, a malformed line (with its number),
 * files of different lengths.
 */
export async function computeMetricOnFiles(
  name: string,
  predictionsFile: string,
  referencesFile: string,
  settings: Readonly<Record<string, unknown>> = {},
): Promise<MetricReport> {
  const metric = metricNames.find((known) => known === name);
  if (metric === undefined) {
    throw new UserError(
      `unknown metric "${name}"${didYouMean(name, metricNames) || `; known are ${metricNames.join(', ')}`}`,
    );
  }
  const predictions = await readTexts(predictionsFile);
  const several = predictions.findIndex((texts) => typeof texts !== 'string');
  if (several !== -1) throw new UserError(`${predictionsFile} line ${several + 1}: a prediction is one JSON string`);
  const references = (await readTexts(referencesFile)).map((texts) => (typeof texts === 'string' ? [texts] : texts));
  if (predictions.length !== references.length) {
    const [p, r] = [predictions.length, references.length];
    throw new UserError(`${predictionsFile} has ${p} lines but ${referencesFile} has ${r}: they must go together`);
  }
  const result = metrics[metric](predictions as string[], references, parseMetricSettings(settings));
  return { metric, score: result.score, n: result.n, signature: result.signature };
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

// The table of metrics by name.

import { accuracy } from './accuracy.js';
import { bleu } from './bleu.js';
import { exactMatch } from './exact-match.js';
import type { Metric, MetricName } from './metric.js';
import { rouge1, rouge2, rougeL } from './rouge.js';

/** All metrics: `metrics.bleu(predictions, references, { tokenize: 'intl' }).score`. */
export const metrics: Readonly<Record<MetricName, Metric>> = {
  accuracy,
  'exact-match': exactMatch,
  bleu,
  'rouge-1': rouge1,
  'rouge-2': rouge2,
  'rouge-L': rougeL,
};

export { bootstrapInterval, type Interval, type PairedComparison, pairedBootstrap } from './bootstrap.js';
export {
  type Metric,
  type MetricName,
  type MetricResult,
  type MetricSettings,
  meanResult,
  metricNames,
} from './metric.js';
export { computeMetricOnFiles, type MetricReport, parseMetricSettings } from './metric-files.js';

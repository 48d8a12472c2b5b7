// `promot metric`: any metric on files of predictions and references.

import { ChosenMetric, computeMetricOnFiles, metrics } from '@promot/core/metrics';
import { Command } from 'commander';
import { answer, type Io } from './io.js';
import { type CommonOptions, requireFlags, withCommonOptions } from './options.js';
import { readSettings } from './settings.js';

interface Options extends CommonOptions {
  readonly predictions: string;
  readonly references: string;
}

export function metricCommand(io: Io): Command {
  const command = new Command('metric')
    .description('Score a file of predictions against a file of references.')
    .argument('<NAME>', textMetrics().join(', '))
    .option('--predictions <FILE>', 'plain text with one a line, or .jsonl with one JSON string a line (required)')
    .option('--references <FILE>', 'the same; in .jsonl also arrays of strings, all of them acceptable (required)');
  return requireFlags(withCommonOptions(command), '--predictions', '--references').action(
    async (name: string, options: Options) => {
      const metric = metrics.get(name);
      const settings = readSettings(options, (given) => new ChosenMetric(metric, given));
      const report = await computeMetricOnFiles(name, options.predictions, options.references, settings);
      const { score, n, signature, notes = [] } = report;
      answer(io, options.json, report, () =>
        [`${name} ${score.toFixed(2)} (n ${n})`, signature, ...notes.map((text) => `note: ${text}`)].join('\n'),
      );
    },
  );
}

/** Those that score texts, and need no model. */
const textMetrics = () =>
  metrics
    .all()
    .filter(({ needs }) => needs === 'output')
    .map(({ name }) => name);

// `promot metric`: any metric on files of predictions and references.

import { computeMetricOnFiles, parseMetricSettings } from '@promot/core/metrics';
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
    .argument('<NAME>', 'accuracy, exact-match, bleu, rouge-1, rouge-2 or rouge-L')
    .option('--predictions <FILE>', 'plain text with one a line, or .jsonl with one JSON string a line (required)')
    .option('--references <FILE>', 'the same; in .jsonl also arrays of strings, all of them acceptable (required)');
  return requireFlags(withCommonOptions(command), '--predictions', '--references').action(
    async (name: string, options: Options) => {
      const settings = readSettings(options, parseMetricSettings);
      const report = await computeMetricOnFiles(name, options.predictions, options.references, settings);
      answer(io, options.json, report, () => `${name} ${report.score.toFixed(2)} (n ${report.n})\n${report.signature}`);
    },
  );
}

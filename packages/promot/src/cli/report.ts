// `promot report`: training runs and evaluations as one page with tables, curves and outputs side by side.
import { Command } from 'commander';
import { answer, type Io } from './io.js';

export function reportCommand(io: Io): Command {
  return new Command('report')
    .description('Make one report (HTML, Markdown, SVG) of training runs and evaluations.')
    .argument('<DIR...>', 'folders that promot train or promot eval --out wrote')
    .option('--out <DIR>', 'where the report goes (an earlier one there is replaced)', 'report')
    .option('--json', 'print one JSON object on standard output')
    .action(async (folders: string[], { out, json }: { out: string; json?: boolean }) => {
      const { makeReport } = await import('@promot/core/report');
      const written = await makeReport({ folders, out });
      answer(io, json, written, () => written.files.join('\n'));
    });
}

// `promot sweep`: runs over a grid of settings, or over drawn ones, with several seeds, and a report that compares
// them.
import { alignedTable, UserError } from '@promot/core/base';
import { Command } from 'commander';
import { describeCombination, mean, planSweep, type Swept } from '../experiments/sweep.js';
import { untilInterrupted } from './interrupt.js';
import { answer, type Io } from './io.js';
import { observer } from './observe.js';
import { dataOption } from './options.js';
import { Progress } from './progress.js';
import { readSettings } from './settings.js';
import { useTorch } from './torch.js';

interface Options {
  readonly config?: string;
  readonly out?: string;
  readonly data?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export function sweepCommand(io: Io): Command {
  return new Command('sweep')
    .description('Train over a grid of settings, or over drawn ones, with several seeds, and compare the runs.')
    .option('--config <FILE>', 'the sweep as a YAML file, see docs/reference/commands.md (required)')
    .option('--out <DIR>', "runs and report; in place of the file's `out`")
    .addOption(dataOption())
    .option('--dry-run', 'list the runs')
    .option('--json', 'print one JSON object on standard output')
    .action(async ({ config: file, out, data, dryRun, json }: Options) => {
      if (file === undefined) throw new UserError('promot sweep needs --config FILE (see --help)');
      const config = readSettings({ config: file }, () => {});
      const places = { ...(out !== undefined && { out }), ...(data !== undefined && { data }) };
      const { jobs } = plannedBy(file, () => planSweep({ config, ...places }));
      if (dryRun) {
        const names = jobs.map(({ name }) => name);
        answer(io, json, { runs: names }, () => [...names, '', `${names.length} runs`].join('\n'));
        return;
      }
      await useTorch();
      const { sweep } = await import('../experiments/sweep.js');
      const progress = new Progress(io);
      const { result, exitCode } = await untilInterrupted(progress, 'Finishing the step and saving', (signal) =>
        sweep({
          config,
          ...places,
          signal,
          onEvent: observer(progress),
        }),
      );
      if (!result.finished) io.exitCode = exitCode;
      answer(io, json, result, () => describe(result));
    });
}

/** What is wrong with a sweep is wrong in its file. */
function plannedBy<T>(file: string, plan: () => T): T {
  try {
    return plan();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${file}: ${error.message}`, { code: error.code, cause: error });
  }
}

function describe({ out, finished, combinations, files }: Swept): string {
  const rows = combinations.map(({ combination, scores, losses }) => [
    describeCombination(combination),
    mean(scores).toFixed(2),
    mean(losses).toFixed(4),
    String(scores.length),
  ]);
  return [
    ...(rows.length > 0 ? [alignedTable([['settings', 'validation score', 'loss', 'seeds'], ...rows]), ''] : []),
    finished ? `Report: ${files[0]}` : `Stopped and saved in ${out}; the same command goes on.`,
  ].join('\n');
}

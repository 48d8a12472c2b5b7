// `promot doctor`: what was found on this machine, and one line of advice for each problem.
import { alignedTable } from '@promot/core/base';
import { Command } from 'commander';
import { answer, type Io } from './io.js';

export function doctorCommand(io: Io): Command {
  return new Command('doctor')
    .description('Show what was found (libtorch, addon, processor, CUDA, threads), with advice for each problem.')
    .option('--setup', 'first look for libtorch afresh and do what is missing')
    .option('--json', 'print one JSON object on standard output')
    .action(async (options: { setup?: boolean; json?: boolean }) => {
      const { ensureAddon, inspect } = await import('@promot/torch/setup');
      if (options.setup) await ensureAddon({ refresh: true });
      const inspection = await inspect();
      io.exitCode = inspection.ok ? 0 : 1;
      answer(io, options.json, inspection, () => {
        const rows = inspection.findings.flatMap(({ name, value, problem, advice }) => [
          [name, value],
          ...(problem === undefined ? [] : [['', `problem: ${problem}`]]),
          ...(advice === undefined ? [] : [['', `advice: ${advice}`]]),
        ]);
        return [alignedTable(rows), '', inspection.ok ? 'Ready.' : 'Not ready: see the problems above.'].join('\n');
      });
    });
}

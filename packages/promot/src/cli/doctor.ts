// `promot doctor`: what was found on this machine, and one line of advice for each problem.
import { alignedTable } from '@promot/core/base';
import type { DeviceSetting } from '@promot/core/models';
import { Command, Option } from 'commander';
import { answer, type Io } from './io.js';
import { useTorch } from './torch.js';

export function doctorCommand(io: Io): Command {
  return new Command('doctor')
    .description('Show what was found (libtorch, addon, processor, CUDA, threads), with advice for each problem.')
    .option('--setup', 'first look for libtorch again and install what is missing')
    .option('--check', 'compute with every family of models what is stored, and compare; takes minutes')
    .addOption(
      new Option('--device <D>', 'of --check').choices(['auto', 'cpu', 'cuda']).default('auto' satisfies DeviceSetting),
    )
    .option('--json', 'print one JSON object on standard output')
    .action(async (options: { setup?: boolean; check?: boolean; device: DeviceSetting; json?: boolean }) => {
      const { ensureAddon, inspect } = await import('@promot/torch/setup');
      if (options.setup) await ensureAddon({ refresh: true });
      if (options.check) return check(io, options);
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

/** Prints each result as it comes; exit code 1 where something is not as it should be. */
async function check(io: Io, { device, json }: { device: DeviceSetting; json?: boolean }): Promise<void> {
  await useTorch();
  const { checkDevice, checkedWith } = await import('./check.js');
  const title = checkedWith(device);
  if (!json) io.stdout.write(`${title}\n\n`);
  const results = await checkDevice(device, ({ name, ok, found }) => {
    if (!json) io.stdout.write(`${ok ? 'ok    ' : 'WRONG '} ${name.padEnd(24)} ${found}\n`);
  });
  const wrong = results.filter(({ ok }) => !ok).length;
  io.exitCode = wrong === 0 ? 0 : 1;
  answer(io, json, { device: title, ok: wrong === 0, results }, () =>
    wrong === 0 ? `\nAll ${results.length} checks passed.` : `\n${wrong} of ${results.length} checks failed.`,
  );
}

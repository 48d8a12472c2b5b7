// `promot quickstart`: the whole job on the built-in lab model, with a table of what each method learned and forgot.
import { Command } from 'commander';
import { answer, type Io } from './io.js';
import { observer } from './observe.js';
import { duration, Progress } from './progress.js';
import { useTorch } from './torch.js';

export function quickstartCommand(io: Io): Command {
  return new Command('quickstart')
    .description('Fine-tune a small built-in model plainly and with ProMoT, and show what each has forgotten.')
    .option('--out <DIR>', 'where the runs and the report go (replaced if it is there)', 'quickstart')
    .option('--json', 'print one JSON object on standard output')
    .action(async (options: { out: string; json?: boolean }) => {
      await useTorch();
      const { quickstart } = await import('../quickstart/quickstart.js');
      const { headline } = await import('../quickstart/headline.js');
      const { resultTable } = await import('../quickstart/report.js');
      const progress = new Progress(io);
      const result = await quickstart({
        out: options.out,
        onEvent: observer(progress),
      });
      progress.stop();
      answer(io, options.json, result, () =>
        [
          headline(result),
          '',
          resultTable(result),
          '',
          `Took ${duration(result.seconds)}. Curves and outputs side by side: ${result.files[0]} (also report.md)`,
          'Next: docs/tutorial/first-model.md',
        ].join('\n'),
      );
    });
}

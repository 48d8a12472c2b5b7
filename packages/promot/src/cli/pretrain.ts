// `promot pretrain`: makes the built-in lab's models from nothing.
import { Command, Option } from 'commander';
import { type LabModelName, labModelNames } from '../models/locate.js';
import { answer, type Io, note } from './io.js';
import { requireFlags } from './options.js';
import { Progress } from './progress.js';

export function pretrainCommand(io: Io): Command {
  const command = new Command('pretrain')
    .description("Pretrain one of the built-in lab's small models from scratch; goes on where it stopped.")
    .addOption(new Option('--model <NAME>', 'which').choices(labModelNames).default('lab'))
    .option('--out <DIR>', 'run folder; the model is in its model/ (required)')
    .option('--json', 'print one JSON object on standard output');
  return requireFlags(command, '--out').action(
    async (options: { model: LabModelName; out: string; json?: boolean }) => {
      const { pretrainLab } = await import('../lab/pretrain.js');
      const progress = new Progress(io);
      const abort = new AbortController();
      process.once('SIGINT', () => {
        progress.line('Finishing the step and saving; Ctrl-C again ends at once.');
        abort.abort();
      });
      let last = { step: 0, steps: 0, loss: Number.NaN };
      await pretrainLab(options.out, {
        model: options.model,
        signal: abort.signal,
        onStep: (event) => {
          last = event;
          progress.update('pretrain', event.step, event.steps, `loss ${event.loss.toFixed(3)}`);
        },
      });
      progress.stop();
      if (abort.signal.aborted) {
        note(io, `Saved. To go on: promot pretrain --model ${options.model} --out ${options.out}`);
        io.exitCode = 130;
      }
      const object = { out: options.out, finished: !abort.signal.aborted, step: last.step, loss: last.loss };
      answer(io, options.json, object, () => `${options.out}: step ${last.step}, loss ${last.loss.toFixed(3)}`);
    },
  );
}

// `promot pretrain`: makes the built-in lab's models from nothing.
import { Command, Option } from 'commander';
import { type LabModelName, labModelNames } from '../lab/models.js';
import { untilInterrupted } from './interrupt.js';
import { answer, type Io, note } from './io.js';
import { observer } from './observe.js';
import { requireFlags } from './options.js';
import { Progress } from './progress.js';
import { useTorch } from './torch.js';

export function pretrainCommand(io: Io): Command {
  const command = new Command('pretrain')
    .description("Pretrain one of the built-in lab's small models from scratch; goes on where it stopped.")
    .addOption(new Option('--model <NAME>', 'which').choices(labModelNames).default('lab'))
    .option('--out <DIR>', 'run folder; the model is in its model/ (required)')
    .option('--json', 'print one JSON object on standard output');
  return requireFlags(command, '--out').action(
    async (options: { model: LabModelName; out: string; json?: boolean }) => {
      await useTorch();
      const { pretrainLab } = await import('../lab/pretrain.js');
      const progress = new Progress(io);
      const draw = observer(progress);
      let last = { step: 0, loss: Number.NaN };
      const { result: finished, exitCode } = await untilInterrupted(
        progress,
        'Finishing the step and saving',
        async (signal) => {
          await pretrainLab(options.out, {
            model: options.model,
            signal,
            onEvent: (event) => {
              if (event.type === 'step') last = event;
              draw(event);
            },
          });
          return !signal.aborted;
        },
      );
      if (!finished) {
        note(io, `Saved. To go on: ${io.program ?? 'promot'} pretrain --model ${options.model} --out ${options.out}`);
        io.exitCode = exitCode;
      }
      const object = { out: options.out, finished, step: last.step, loss: last.loss };
      answer(io, options.json, object, () => `${options.out}: step ${last.step}, loss ${last.loss.toFixed(3)}`);
    },
  );
}

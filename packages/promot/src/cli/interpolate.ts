// `promot interpolate`: a fine-tuned model's weights mixed with those of the model it came from.
import { Command, InvalidArgumentError } from 'commander';
import { answer, type Io } from './io.js';
import { observer } from './observe.js';
import { checkPlaces } from './open.js';
import { type CommonOptions, modelOption, requireFlags, withCommonOptions } from './options.js';
import { Progress } from './progress.js';
import { readKnownSettings } from './settings.js';
import { useTorch } from './torch.js';

interface Options extends CommonOptions {
  readonly model: string;
  readonly tuned: string;
  readonly factor: number;
  readonly out: string;
}

export function interpolateCommand(io: Io): Command {
  const command = new Command('interpolate')
    .description('Mix the weights of a model before and after fine-tuning (WiSE-FT): no training.')
    .addOption(modelOption())
    .option('--tuned <M>', 'the same model after fine-tuning: a run folder, or as --model (required)')
    .option('--factor <F>', 'from 0 (the model) to 1 (the tuned one) (required)', fraction)
    .option('--out <DIR>', 'the Hugging Face folder to make; it must not exist (required)');
  const flags = ['--model', '--tuned', '--factor', '--out'] as const;
  return requireFlags(withCommonOptions(command), ...flags).action(async (options: Options) => {
    const { model: base, tuned, factor, out } = options;
    const { precision } = readKnownSettings(options, ['precision']);
    const progress = new Progress(io);
    await checkPlaces(base, undefined, progress);
    await checkPlaces(tuned, undefined, progress);
    await useTorch();
    const { interpolate } = await import('@promot/core/merging');
    const result = await interpolate({
      base,
      tuned,
      factor,
      out,
      precision,
      hub: { onEvent: observer(progress) },
      onEvent: observer(progress),
    });
    progress.stop();
    const share = (part: number) => Number((100 * part).toFixed(6));
    answer(io, options.json, result, () =>
      [
        `${out}: ${share(1 - factor)} % of ${base}, ${share(factor)} % of ${tuned}`,
        `${result.parameters} parameters`,
      ].join('\n'),
    );
  });
}

/** A number from 0 to 1, for an option's value. */
function fraction(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 1))
    throw new InvalidArgumentError('It should be a number from 0 to 1.');
  return value;
}

// `promot merge`: a LoRA adapter put into the weights of its model.
import { Command } from 'commander';
import { answer, type Io } from './io.js';
import { observer } from './observe.js';
import { checkPlaces } from './open.js';
import { type CommonOptions, modelOption, requireFlags, withCommonOptions } from './options.js';
import { Progress } from './progress.js';
import { readKnownSettings } from './settings.js';
import { useTorch } from './torch.js';

interface Options extends CommonOptions {
  readonly model: string;
  readonly adapter: string;
  readonly out: string;
}

export function mergeCommand(io: Io): Command {
  const command = new Command('merge')
    .description('Add a LoRA adapter to the weights of its model.')
    .addOption(modelOption())
    .option('--adapter <A>', 'a PEFT LoRA folder, or a run of lora-first (required)')
    .option('--out <DIR>', 'the Hugging Face folder to make; it must not exist (required)');
  return requireFlags(withCommonOptions(command), '--model', '--adapter', '--out').action(async (options: Options) => {
    const { model, adapter, out } = options;
    const { precision } = readKnownSettings(options, ['precision']);
    const progress = new Progress(io);
    await checkPlaces(model, adapter, progress);
    await useTorch();
    const { mergeLora } = await import('@promot/core/merging');
    const result = await mergeLora({ model, adapter, out, precision, hub: { onEvent: observer(progress) } });
    answer(io, options.json, result, () => `${out}: ${model} with the additions to ${result.layers} layers`);
  });
}

// `promot score`: how likely a model finds a target behind an input.
import { Command } from 'commander';
import { answer, type Io } from './io.js';
import { openForUse } from './open.js';
import { type CommonOptions, modelOption, promptOption, requireFlags, withCommonOptions } from './options.js';
import { Progress } from './progress.js';
import { readKnownSettings } from './settings.js';

interface Options extends CommonOptions {
  readonly model: string;
  readonly prompt?: string;
  readonly input: string;
  readonly target: string;
}

export function scoreCommand(io: Io): Command {
  const command = new Command('score')
    .description('Negative log-likelihood of a target behind an input, both exactly as given.')
    .addOption(modelOption())
    .addOption(promptOption())
    .option('--input <TEXT>', 'the input, which may be empty (required)')
    .option(
      '--target <TEXT>',
      'the target; for decoder-only models begin it with a space where one belongs (required)',
    );
  return requireFlags(withCommonOptions(command), '--model', '--input', '--target').action(async (options: Options) => {
    const settings = readKnownSettings(options, ['precision', 'device']);
    const opened = await openForUse(options.model, options.prompt, settings, new Progress(io));
    const { scoreText } = await import('@promot/core/generation');
    const scored = await scoreText(opened, options.input, options.target, { prompt: opened.prompt });
    const text = () => `loss ${scored.loss.toFixed(4)} nats per token, ${scored.tokens} tokens`;
    answer(io, options.json, scored, text);
  });
}

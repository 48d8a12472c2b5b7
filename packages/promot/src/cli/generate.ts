// `promot generate`: what a model makes of one input, or of each line of a file.
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { UserError } from '@promot/core/base';
import { Command } from 'commander';
import { answer, type Io } from './io.js';
import { openForUse } from './open.js';
import {
  type CommonOptions,
  modelOption,
  promptOption,
  requireFlags,
  wholeNumber,
  withCommonOptions,
} from './options.js';
import { Progress } from './progress.js';
import { readKnownSettings } from './settings.js';

interface Options extends CommonOptions {
  readonly model: string;
  readonly prompt?: string;
  readonly input: string;
  readonly beams?: number;
  readonly maxNewTokens?: number;
}

const keys = [
  'precision',
  'device',
  'batchSize',
  'beams',
  'maxNewTokens',
  'minNewTokens',
  'lengthPenalty',
  'brevityPenalty',
] as const;

export function generateCommand(io: Io): Command {
  const command = new Command('generate')
    .description('Generate with beam search; the output is not trimmed.')
    .addOption(modelOption())
    .addOption(promptOption())
    .option('--input <TEXT|@FILE>', 'a text, or @FILE: one input a line (.jsonl: one JSON string a line) (required)')
    .option('--beams <N>', 'beams; 1 is greedy search (default: 4)', wholeNumber(1))
    .option('--max-new-tokens <N>', 'most tokens to generate (default: 128)', wholeNumber(1));
  return requireFlags(withCommonOptions(command), '--model', '--input').action(async (options: Options) => {
    const settings = readKnownSettings(options, keys);
    const inputs = options.input.startsWith('@') ? readInputs(options.input.slice(1)) : undefined;
    const progress = new Progress(io);
    const opened = await openForUse(options.model, options.prompt, settings, progress);
    const { generateTexts } = await import('@promot/core/generation');
    const outputs = await generateTexts(opened, inputs ?? [options.input], {
      ...settings,
      ...(options.beams && { beams: options.beams }),
      ...(options.maxNewTokens && { maxNewTokens: options.maxNewTokens }),
      prompt: opened.prompt,
      onProgress: (done, total) => progress.update('generate', done, total),
    });
    progress.stop();
    const object = inputs
      ? { outputs: inputs.map((input, i) => ({ input, text: outputs[i]! })) }
      : { text: outputs[0]! };
    answer(io, options.json, object, () => outputs.join('\n'));
  });
}

/** The inputs in a file, one a line; empty lines are empty inputs. Errors: a UserError with file and line. */
function readInputs(file: string): string[] {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    throw new UserError(
      error instanceof TypeError ? `${file} is not UTF-8 text` : `cannot read the file of inputs ${file}`,
    );
  }
  if (text === '') throw new UserError(`${file} is empty: it should hold one input a line`);
  const lines = text.replace(/\r?\n$/u, '').split(/\r?\n/u);
  if (extname(file) !== '.jsonl') return lines;
  return lines.map((line, i) => {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      // Told below.
    }
    if (typeof value !== 'string') throw new UserError(`${file} line ${i + 1}: a JSON string is expected`);
    return value;
  });
}

// Options that several commands share, and the kinds of values that options take.

import { UserError } from '@promot/core/base';
import { type Command, InvalidArgumentError, Option } from 'commander';

export interface CommonOptions {
  readonly config?: string;
  readonly set?: readonly string[];
  readonly json?: boolean;
}

/** A whole number from `least` to `most`, for an option's value. */
export function wholeNumber(least: number, most = Number.POSITIVE_INFINITY): (text: string) => number {
  const range = most === Number.POSITIVE_INFINITY ? `of at least ${least}` : `from ${least} to ${most}`;
  return (text) => {
    if (!/^\d+$/u.test(text) || Number(text) < least || Number(text) > most)
      throw new InvalidArgumentError(`It should be a whole number ${range}.`);
    return Number(text);
  };
}

/** Comma-separated words. */
export function wordList(text: string): string[] {
  return text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');
}

export const modelOption = () =>
  new Option('--model <M>', 'folder, .gguf file, run folder, "lab", or OWNER/NAME on the hub (required)');
export const promptOption = () => new Option('--prompt <P>', 'soft prompt: a PEFT adapter folder or a run folder');
export const taskOption = () =>
  new Option('--task <T>', 'name of a built-in task, or a YAML file, see docs/reference/tasks.md (required)');
export const dataOption = () =>
  new Option('--data <DIR>', "folder with the built-in tasks' data (without it the hub is asked)");

/**
 * Refuses a command line without these flags, in one message. (Commander's own mandatory options are looked at before
 * unknown ones: it would call a misspelt --model missing.)
 */
export function requireFlags(command: Command, ...flags: readonly string[]): Command {
  return command.hook('preAction', () => {
    const missing = flags.filter((flag) => command.getOptionValue(attribute(flag)) === undefined);
    if (missing.length > 0) throw new UserError(`promot ${command.name()} needs ${missing.join(', ')} (see --help)`);
  });
}

const attribute = (flag: string): string => new Option(flag).attributeName();

/** Adds --config, --set and --json. */
export function withCommonOptions(command: Command): Command {
  return command
    .option('--config <FILE>', 'settings in a YAML file')
    .option('--set <key=value...>', 'one or more settings; they win over --config')
    .option('--json', 'print one JSON object on standard output');
}

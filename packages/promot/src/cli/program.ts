// All commands, and what becomes of their errors. Nothing here loads libtorch: help and wrong flags are answered at once.

import { version } from '@promot/core/base';
import { Command, CommanderError } from 'commander';
import '../lab/register.js';
import { compareCommand } from './compare.js';
import { doctorCommand } from './doctor.js';
import { evalCommand } from './eval.js';
import { generateCommand } from './generate.js';
import { interpolateCommand } from './interpolate.js';
import type { Io } from './io.js';
import { mergeCommand } from './merge.js';
import { metricCommand } from './metric.js';
import { pretrainCommand } from './pretrain.js';
import { stopProgress } from './progress.js';
import { quickstartCommand } from './quickstart.js';
import { reportCommand } from './report.js';
import { reproduceCommand } from './reproduce.js';
import { scoreCommand } from './score.js';
import { trainCommand } from './train.js';

/**
 * Runs one command line (without `node` and the program's name) and gives the exit code: 0; 1 for a failure that is not the
 * user's; 2 for bad input; 130 for work that Ctrl-C ended.
 */
export async function runCli(args: readonly string[], io: Io): Promise<number> {
  const program = new Command('promot')
    .description('Two-stage fine-tuning (ProMoT) of language models with less forgetting.')
    .version(version(), '-V, --version')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
    })
    .addHelpText('after', '\nEach command has a --help of its own. docs/commands.md has examples.');
  const commands = [
    trainCommand,
    evalCommand,
    compareCommand,
    reportCommand,
    interpolateCommand,
    mergeCommand,
    generateCommand,
    scoreCommand,
    metricCommand,
    doctorCommand,
    pretrainCommand,
    quickstartCommand,
    reproduceCommand,
  ];
  for (const make of commands) program.addCommand(make(io).copyInheritedSettings(program));
  try {
    if (args.length === 0) {
      io.stdout.write(program.helpInformation());
      return 0;
    }
    await program.parseAsync(args, { from: 'user' });
    return io.exitCode;
  } catch (error) {
    stopProgress();
    return report(error, io);
  }
}

/** Names of the errors whose message is for the user; by name, because importing some of the classes loads libtorch. */
const userErrors = ['UserError', 'FileFormatError', 'SetupError'];
/** The system's refusals that a user can do something about. */
const systemErrors: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  ENOENT: 'no such file or folder',
  ENOTDIR: 'not a folder',
  EISDIR: 'is a folder',
  EEXIST: 'exists already',
  ENOSPC: 'no space left on the disk',
  EROFS: 'the disk is read-only',
};

function report(error: unknown, io: Io): number {
  // Commander has written its own message already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const { name, message, stack, code, path } = error as NodeJS.ErrnoException;
  if (process.env.PROMOT_DEBUG === '1') io.stderr.write(`${stack}\n`);
  const refusal = code === undefined || path === undefined ? undefined : systemErrors[code];
  if (userErrors.includes(name) || refusal !== undefined) {
    io.stderr.write(`error: ${refusal === undefined ? message : `${path}: ${refusal}`}\n`);
    return 2;
  }
  io.stderr.write(`promot failed: ${message ?? String(error)}\n(PROMOT_DEBUG=1 shows where)\n`);
  return 1;
}

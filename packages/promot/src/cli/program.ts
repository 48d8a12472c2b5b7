// All commands, and how their errors are reported. Only what is asked for is loaded, so that help comes at once: the
// list of commands needs no library, a command's own help needs Commander and that command.
import { createRequire } from 'node:module';
import { errorCodes, printable, systemError, UserError } from '@promot/core/errors';
import type { Command } from 'commander';
import type { Io } from './io.js';
import { runPlugins, takePlugins } from './plugins.js';

/** A command, its line in the list, and the function that makes it. */
const commands: readonly (readonly [name: string, summary: string, load: () => Promise<(io: Io) => Command>])[] = [
  ['init', 'write a task file for your data', async () => (await import('./init.js')).initCommand],
  ['train', 'train a model on a task', async () => (await import('./train.js')).trainCommand],
  ['launch', 'start a command in several processes', async () => (await import('./launch.js')).launchCommand],
  ['plan', 'say what a run takes on other hardware', async () => (await import('./plan.js')).planCommand],
  ['eval', 'evaluate a model on tasks', async () => (await import('./eval.js')).evalCommand],
  ['compare', 'set evaluations side by side', async () => (await import('./compare.js')).compareCommand],
  ['report', 'make a page of training runs and evaluations', async () => (await import('./report.js')).reportCommand],
  ['generate', 'generate text', async () => (await import('./generate.js')).generateCommand],
  ['serve', 'answer over HTTP', async () => (await import('./serve.js')).serveCommand],
  ['score', 'say how likely a target is', async () => (await import('./score.js')).scoreCommand],
  ['interpolate', 'mix a model with its tuned form', async () => (await import('./interpolate.js')).interpolateCommand],
  ['merge', 'add a LoRA adapter to the weights of its model', async () => (await import('./merge.js')).mergeCommand],
  ['metric', 'score a file of predictions', async () => (await import('./metric.js')).metricCommand],
  [
    'doctor',
    'show what was found on this machine, and set up',
    async () => (await import('./doctor.js')).doctorCommand,
  ],
  [
    'quickstart',
    'show what ProMoT does, on a built-in model',
    async () => (await import('./quickstart.js')).quickstartCommand,
  ],
  ['sweep', 'compare runs over settings and seeds', async () => (await import('./sweep.js')).sweepCommand],
  [
    'reproduce',
    'reproduce a table or figure of the paper',
    async () => (await import('./reproduce.js')).reproduceCommand,
  ],
  ['pretrain', 'pretrain a built-in model', async () => (await import('./pretrain.js')).pretrainCommand],
];

/** Commands that open no task and no model by name: the lab's are not loaded for them, which takes half a second. */
const withoutLab = ['launch', 'compare', 'report', 'metric', 'doctor'];

/** Commands whose work is done by libtorch: it is loaded beside the imports. */
const withTorch = ['train', 'eval', 'generate', 'score'];

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };

/** What a person sees who types the program's name alone. */
const firstWords = (
  program: string,
) => `promot ${version} fine-tunes a language model on one task without making it forget the others.

  ${program} quickstart        see what it does (two minutes)
  ${program} train --model google/flan-t5-small --data my.csv --input "{text} Which team?" --target "{team}" \\
      --out runs/my
  ${program} generate --model runs/my --task my --record '{"text": "..."}'

\`${program} help\` lists all commands, \`${program} help train\` explains one.
`;

/** The list of all commands. */
const overview = (program: string) => `Usage: promot COMMAND [OPTIONS]

Two-stage fine-tuning (ProMoT) of language models with less forgetting.

Options:
  -V, --version  output the version number
  -h, --help     display help for command

Commands:
${commands.map(([name, summary]) => `  ${name.padEnd(15)}${summary}\n`).join('')}
Every command takes --plugin FILE.js: metrics, methods, objectives, tasks and models of your own
(docs/reference/commands.md).
\`${program} help COMMAND\` explains a command; docs/reference/commands.md has examples.
`;

/**
 * Runs one command line (without `node` and the program's name) and gives the exit code: 0; 1 for a failure that is not
 * the user's; 2 for bad input; 130 for work that Ctrl-C ended, 143 for work that SIGTERM ended.
 */
export async function runCli(args: readonly string[], io: Io): Promise<number> {
  const called = io.program ?? 'promot';
  try {
    const { plugins, rest: words } = takePlugins(args);
    const [first, ...rest] = words[0] === 'help' ? words.slice(1, 2).concat('--help') : words;
    const answer = plainAnswer(first, called);
    if (answer === undefined) return await runCommand(first!, rest, plugins, io);
    io.stdout.write(answer);
    return 0;
  } catch (error) {
    const { stopProgress } = await import('./progress.js');
    stopProgress();
    return report(error, io);
  }
}

/** The answer to a first word that is no command: nothing typed, a flag for help or for the version. */
function plainAnswer(first: string | undefined, called: string): string | undefined {
  if (first === undefined) return firstWords(called);
  if (first === '-h' || first === '--help') return overview(called);
  return first === '-V' || first === '--version' ? `${version}\n` : undefined;
}

async function runCommand(first: string, rest: readonly string[], plugins: readonly string[], io: Io): Promise<number> {
  const asksHelp = rest.includes('--help') || rest.includes('-h');
  if (withTorch.includes(first) && !asksHelp) await (await import('./torch.js')).beginTorch();
  const { Command, CommanderError } = await import('commander');
  const program = new Command('promot')
    .helpCommand(false)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
    });
  const known = commands.some(([name]) => name === first);
  if (known && !withoutLab.includes(first)) await import('../lab/register.js');
  // Before the command is made: its help names the methods.
  await runPlugins(plugins);
  for (const [name, , load] of commands) {
    const command = first === name ? (await load())(io) : new Command(name);
    program.addCommand(command.copyInheritedSettings(program));
  }
  try {
    // `promot foo --help` is an unknown command, too.
    await program.parseAsync(known ? [first, ...rest] : [first], { from: 'user' });
    return io.exitCode;
  } catch (error) {
    // Commander has written its own message already. Help ends here, too, and needs no progress bar.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
}

function report(error: unknown, io: Io): number {
  if (process.env.PROMOT_DEBUG === '1') io.stderr.write(`${(error as Error).stack}\n`);
  const known = error instanceof UserError ? error : systemError(error);
  if (known) {
    io.stderr.write(`error: ${known.message}\n`);
    return errorCodes[known.code].exit;
  }
  const message = error instanceof Error ? error.message : String(error);
  io.stderr.write(`promot failed: ${printable(message)}\n(PROMOT_DEBUG=1 shows where)\n`);
  return 1;
}

// `promot score`: how likely a model finds a target behind an input, or the answer of a task's record.
import { reworded, UserError } from '@promot/core/base';
import { adapterName, adapterOfTask, taskBeside } from '@promot/core/open';
import { loadTask } from '@promot/core/tasks';
import { Command } from 'commander';
import { answer, type Io } from './io.js';
import { openForUse } from './open.js';
import { type CommonOptions, modelOption, promptOption, requireFlags, withCommonOptions } from './options.js';
import { Progress } from './progress.js';
import { oneRecord } from './record.js';
import { readKnownSettings } from './settings.js';

interface Options extends CommonOptions {
  readonly model: string;
  readonly prompt?: string;
  readonly input?: string;
  readonly target?: string;
  readonly task?: string;
  readonly record?: string;
}

export function scoreCommand(io: Io): Command {
  const command = new Command('score')
    .description('Negative log-likelihood of a target behind an input.')
    .addOption(modelOption())
    .addOption(promptOption())
    .option('--input <TEXT>', 'the input exactly as given, which may be empty; with --target')
    .option(
      '--target <TEXT>',
      'the target exactly as given; for decoder-only models begin it with a space where one belongs',
    )
    .option('--task <T>', 'with --record: this task makes input and target; of a run it is enough to name its task')
    .option('--record <JSON>', 'with --task: a JSON object with the answer');
  return requireFlags(withCommonOptions(command), '--model').action(async (options: Options) => {
    const settings = readKnownSettings(options, ['precision', 'device']);
    const progress = new Progress(io);
    const asked = await readRequest(options);
    let { prompt } = options;
    if (asked.path !== undefined && prompt === undefined) {
      prompt = await adapterOfTask(options.model, asked.path);
      if (prompt !== undefined)
        progress.line(`note: ${asked.name} is this run's own task: its ${adapterName(prompt)} is attached`);
    }
    const opened = await openForUse(options.model, prompt, settings, progress);
    const { scoreText } = await import('@promot/core/generation');
    const { joinedTarget } = await import('@promot/core/models');
    const target = asked.path === undefined ? asked.target : joinedTarget(asked.target, opened.model.kind);
    const scored = await scoreText(opened, asked.input, target, { prompt: opened.prompt });
    const text = () => `loss ${scored.loss.toFixed(4)} nats per token, ${scored.tokens} tokens`;
    answer(io, options.json, scored, text);
  });
}

/** What is to be scored: as given, or of a task's record. */
async function readRequest({ model, input, target, task: name, record }: Options): Promise<{
  readonly input: string;
  readonly target: string;
  /** Of the task, where one makes them. */
  readonly path?: string;
  readonly name?: string;
}> {
  if ((name === undefined) !== (record === undefined))
    throw new UserError('--task and --record go together: the task makes input and target of the record');
  if (name !== undefined && record !== undefined) {
    if (input !== undefined || target !== undefined)
      throw new UserError('--task and --record take the place of --input and --target: give the ones or the others');
    const path = await taskBeside(model, name);
    const task = await loadTask(path, { templatesOnly: true });
    if (task.conversation || task.choices)
      throw new UserError(`task ${task.name}: promot score takes tasks with an input and a target`);
    const one = oneRecord(record);
    try {
      return { input: task.input(one), target: task.target(one), path, name: task.name };
    } catch (error) {
      throw reworded(error, (message) => `--record: ${message}`);
    }
  }
  if (input === undefined || target === undefined)
    throw new UserError('promot score needs --input and --target, or --task with --record (see --help)');
  return { input, target };
}

// `promot generate`: what a model makes of one input, or of each line of a file.
import { readFileSync } from 'node:fs';
import { reworded, UserError } from '@promot/core/base';
import { type DataRecord, readSingleTexts, readTable } from '@promot/core/data';
import { adapterName, adapterOfTask, taskBeside } from '@promot/core/open';
import { type Conversation, loadTask, type Task } from '@promot/core/tasks';
import { Command } from 'commander';
import { chat } from './chat.js';
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
import { inRanks } from './ranks.js';
import { oneRecord } from './record.js';
import { readKnownSettings, samplingSettings } from './settings.js';

interface Options extends CommonOptions {
  readonly model: string;
  readonly prompt?: string;
  readonly input?: string;
  readonly task?: string;
  readonly record?: string;
  readonly chat?: boolean;
  readonly system?: string;
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
  ...samplingSettings,
] as const;

export function generateCommand(io: Io): Command {
  const command = new Command('generate')
    .description('Generate with beam search, or by drawing tokens; the output is not trimmed.')
    .addOption(modelOption())
    .addOption(promptOption())
    .option(
      '--input <TEXT|@FILE|->',
      'a text; @FILE: one input a line (.jsonl: one JSON string a line); -: standard input',
    )
    .option('--task <T>', 'makes the input of a record by this task; of a run it is enough to name its task')
    .option('--record <JSON|@FILE>', 'with --task: a JSON object, or @FILE with records of any kind')
    .option('--chat', "talk by the model's chat template: --input is a turn of yours; without it, turns line by line")
    .option('--system <TEXT>', 'with --chat: the system turn in front')
    .option('--beams <N>', 'beams; 1 is greedy search (default: 4)', wholeNumber(1))
    .option('--max-new-tokens <N>', 'most tokens to generate (default: 128)', wholeNumber(1));
  const act = async (options: Options) => {
    const settings = readKnownSettings(options, keys);
    const progress = new Progress(io);
    if (options.system !== undefined && !options.chat) throw new UserError('--system goes with --chat');
    if (options.chat) {
      if (options.task !== undefined || options.record !== undefined)
        throw new UserError('--chat takes its turns from --input or line by line, not from --task and --record');
      const { input, model, prompt, system, json, beams, maxNewTokens } = options;
      const { distributed } = await import('@promot/torch');
      if (input === undefined && distributed.isInitialized())
        throw new UserError('--chat without --input is a talk with one process, not with several');
      const flags = { ...(beams && { beams }), ...(maxNewTokens && { maxNewTokens }) };
      const turns = input === undefined ? undefined : await readInput(input);
      const opened = await openForUse(model, prompt, settings, progress);
      await chat(io, opened, { system, json, turns, settings: { ...settings, ...flags } });
      return;
    }
    const { task, inputs, questions, several } = await readRequest(options);
    let { prompt } = options;
    if (task !== undefined && prompt === undefined) {
      prompt = await adapterOfTask(options.model, task.path);
      if (prompt !== undefined)
        progress.line(`note: ${task.task.name} is this run's own task: its ${adapterName(prompt)} is attached`);
    }
    const opened = await openForUse(options.model, prompt, settings, progress);
    const { maxNewTokens } = await import('@promot/core/evaluation');
    const { draws, generateTexts, generateTurns } = await import('@promot/core/generation');
    const how = {
      ...(task && { maxNewTokens: maxNewTokens(task.task, opened, []) }),
      ...settings,
      ...(options.beams && { beams: options.beams }),
      ...(options.maxNewTokens && { maxNewTokens: options.maxNewTokens }),
      prompt: opened.prompt,
    };
    const onProgress = (done: number, total: number) => progress.update('generate', done, total);
    const outputs = questions
      ? // As evaluations do, and not as a talk.
        await generateTurns(opened, questions, { ...(!draws(settings) && { beams: 4 }), ...how, onProgress })
      : await generateTexts(opened, inputs, { ...how, onProgress });
    progress.stop();
    const object = several
      ? { outputs: inputs.map((input, i) => ({ input, text: outputs[i]! })) }
      : { text: outputs[0]! };
    answer(io, options.json, object, () => outputs.join('\n'));
  };
  return requireFlags(withCommonOptions(command), '--model').action(
    inRanks(io, (options: Options & { out?: string }) => act(options)),
  );
}

/** What is to be gone on from, and the task that made it. */
async function readRequest({ model, input, task: name, record }: Options): Promise<{
  readonly task?: { readonly path: string; readonly task: Task };
  readonly inputs: readonly string[];
  /** Of a chat task: the conversations whose next turn is wanted. */
  readonly questions?: readonly Conversation[];
  readonly several: boolean;
}> {
  if ((name === undefined) !== (record === undefined))
    throw new UserError('--task and --record go together: the task makes the input of the record');
  if ((input === undefined) === (record === undefined))
    throw new UserError('promot generate needs either --input or --task with --record (see --help)');
  if (input !== undefined) return await readInput(input);
  const path = await taskBeside(model, name!);
  const task = await loadTask(path, { templatesOnly: true });
  const isFile = record!.startsWith('@');
  const { records, location } = isFile
    ? await readTable([record!.slice(1)])
    : { records: [oneRecord(record!)], location: () => '--record' };
  const read = <T>(of: (one: DataRecord) => T) =>
    records.map((one, i) => {
      try {
        return of(one);
      } catch (error) {
        throw reworded(error, (message) => `${location(i)}: ${message}`);
      }
    });
  const { question } = task;
  if (question) {
    const questions = read((one) => question(one));
    const inputs = questions.map(({ messages }) => JSON.stringify(messages));
    return { task: { path, task }, inputs, questions, several: isFile };
  }
  const inputs = read((one) => task.input(one));
  return { task: { path, task }, inputs, several: isFile };
}

/** The texts that --input names. */
async function readInput(input: string): Promise<{ readonly inputs: readonly string[]; readonly several: boolean }> {
  if (input === '-') return { inputs: [readFileSync(0, 'utf8').replace(/\r?\n$/u, '')], several: false };
  const isFile = input.startsWith('@');
  return { inputs: isFile ? await readSingleTexts(input.slice(1)) : [input], several: isFile };
}

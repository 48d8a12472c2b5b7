// `promot train`: a training run with live progress; Ctrl-C and SIGTERM save and say how to go on. `--dry-run`: what it
// would do.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { isRun } from '@promot/core/artifacts';
import { makeFolder, UserError } from '@promot/core/base';
import { adapterAtUse, findMethod, methods } from '@promot/core/methods';
import { loadTask, newTask, safeName, type Task } from '@promot/core/tasks';
import type { TrainingConfig, TrainRequest, TrainResult } from '@promot/core/train';
import { defaultConfig, readTokenList, resolveConfig, resumeRequest } from '@promot/core/train';
import { Command } from 'commander';
import { z } from 'zod';
import { describeDryRun } from './dry-run.js';
import { untilInterrupted } from './interrupt.js';
import { answer, type Io } from './io.js';
import { observer, title } from './observe.js';
import { checkPlaces } from './open.js';
import { type CommonOptions, modelOption, withCommonOptions, wordList } from './options.js';
import { profiled } from './profile.js';
import { duration, gigabytes, Progress } from './progress.js';
import { inRanks } from './ranks.js';
import { readSettings, type Settings } from './settings.js';
import { settingsHelp } from './settings-help.js';
import { useTorch } from './torch.js';

interface Options extends CommonOptions {
  readonly model?: string;
  readonly task?: readonly string[];
  readonly method?: string;
  readonly out?: string;
  readonly data?: string;
  readonly resume?: true | string;
  readonly dryRun?: boolean;
  readonly profile?: boolean;
  readonly input?: string;
  readonly target?: string;
  readonly addTokens?: string[];
}

export function trainCommand(io: Io): Command {
  const command = new Command('train')
    .description('Train a model on a task.')
    .addOption(modelOption())
    .option(
      '--task <A,B>',
      'a built-in task or a YAML file, see docs/reference/tasks.md; several, with commas, are trained together',
      wordList,
    )
    .option(
      '--method <X>',
      methods
        .all()
        .map(({ name, summary }) => `${name}: ${summary}`)
        .join('; ')
        .concat('. With --input and --target the default is promot'),
    )
    .option('--out <DIR>', 'the run folder to make')
    .option(
      '--data <FILE|DIR>',
      "with --input and --target your data file; else the folder with the built-in tasks' data (without it the " +
        'hub is asked)',
    )
    .option('--resume [DIR]', 'go on with the run in this folder (or in --out), from its last good checkpoint')
    .option(
      '--input <TEMPLATE>',
      'with --target and --data FILE, in place of --task: what the model gets, such as "{text} Which team?"',
    )
    .option('--target <TEMPLATE>', 'what it should answer, such as "{team}"')
    .option(
      '--add-tokens <A,B>',
      "characters or words that the model lacks, such as '{,},\\n': they become tokens and are trained with it",
      readTokenList,
    )
    .option('--dry-run', 'show examples, sizes, memory and time, without training')
    .option('--profile', 'print where the time of a few steps of each stage goes, by part of the model and by operator')
    .addHelpText('after', settingsHelp)
    .addHelpText(
      'after',
      '\nmodel, task, method and out are needed, as flags or in the --config file. Flags win. --resume DIR needs ' +
        'nothing else.',
    );
  return withCommonOptions(command).action(
    inRanks(io, async (options: Options) => {
      const { json } = options;
      const progress = new Progress(io);
      const written = await writeTask(options, progress);
      const { request, tasks, config } = readRequest(written ?? options);
      const { data } = request;
      // Data at fault and downloads come before libtorch does.
      const loadedTasks = new Map<string, Task>();
      const warned = new Set<string>();
      const onWarning = (text: string) => {
        if (!warned.has(text)) observer(progress)({ type: 'note', text });
        warned.add(text);
      };
      const load = async (name: string) => {
        const loaded =
          loadedTasks.get(name) ?? (await loadTask(name, { data, hub: { onEvent: observer(progress) }, onWarning }));
        loadedTasks.set(name, loaded);
        return loaded;
      };
      const names: string[] = [];
      for (const one of tasks) {
        const task = await load(one);
        names.push(task.name);
        // The training examples last: they stay in memory for the training. What is wrong with them is said first.
        await task.load('validation').catch(async (error: unknown) => {
          await task.load('train');
          throw error;
        });
        await task.load('train');
      }
      for (const one of config.replay.tasks) await (await load(one)).load('train');
      for (const one of config.keep.tasks) await load(one);
      await checkPlaces(request.model, undefined, progress);

      await useTorch();
      if (options.dryRun) {
        const { dryRun } = await import('@promot/core/train');
        const found = await dryRun({ ...request, loadedTasks, onEvent: observer(progress) });
        const colours = (io.stdout as { isTTY?: boolean }).isTTY === true && !process.env.NO_COLOR;
        answer(io, json, found, () => describeDryRun(found, colours));
        return;
      }
      const { train } = await import('@promot/core/train');
      const onEvent = options.profile ? await profiled(observer(progress), progress) : observer(progress);
      const { result, exitCode } = await untilInterrupted(
        progress,
        'Finishing the step and saving a checkpoint',
        (signal) => train({ ...request, loadedTasks, signal, onEvent }),
      );
      // Another rank's signal ends this one as SIGTERM does.
      if (!result.finished) io.exitCode = exitCode || 143;
      const words = result.finished
        ? evalCommandLine(request, tasks, names, config.shots)
        : ['train', '--resume', request.out];
      const next = `${io.program ?? 'promot'} ${commandLine(words)}`;
      answer(io, json, { ...result, next }, () => summary(result, next));
    }),
  );
}

const text = z.string().min(1);
/** What a run is, beside its settings; a config file may hold it, too. */
const runKeys = { model: text, task: z.union([text, z.array(text).min(1)]), method: text, out: text, data: text };
type RunKeys = { [K in keyof typeof runKeys]?: z.infer<(typeof runKeys)[K]> };

/** The task file that --data FILE, --input and --target stand for, in the run folder; the options then name it. */
async function writeTask({ input, target, ...options }: Options, progress: Progress): Promise<Options | undefined> {
  if (input === undefined && target === undefined) return undefined;
  const { data, out, task, resume } = options;
  if (task !== undefined)
    throw new UserError('--input and --target take the place of --task: give the one or the others');
  if (input === undefined || target === undefined || data === undefined)
    throw new UserError('--input and --target go together, with --data FILE, such as --data tickets.csv');
  if (resume !== undefined) throw new UserError('leave out --input and --target: the run knows its task');
  if (out === undefined) throw new UserError('promot train needs --out (see --help)');
  if (isRun(out)) throw new UserError(`${out} already holds a run: go on with --resume, or name another folder`);
  const made = await newTask({ name: safeName(basename(resolve(out))), data, input, target });
  const folder = options.dryRun ? mkdtempSync(join(tmpdir(), 'promot-task-')) : out;
  if (options.dryRun) process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  makeFolder(folder);
  const path = join(folder, 'task.yaml');
  writeFileSync(path, made.yaml);
  for (const text of made.notes) progress.line(`note: ${text}`);
  if (!options.dryRun) progress.line(`note: the task is written to ${path}`);
  return { ...options, data: undefined, task: [path], method: options.method ?? 'promot' };
}

/** The request of a command line: its flags, over its config file, over the run that is to be gone on with. */
function readRequest({
  resume,
  dryRun: _,
  profile: _____,
  json: __,
  input: ___,
  target: ____,
  config: file,
  set,
  addTokens,
  ...flags
}: Options): {
  readonly request: TrainRequest;
  readonly tasks: readonly string[];
  readonly config: TrainingConfig;
} {
  if (flags.task?.length === 0) throw new UserError('--task names no task');
  const source = { config: file, set };
  const { model, task, method, out, data, ...given } = readSettings(source, checkRunKey) as RunKeys & Settings;
  const settings = { ...given, ...(addTokens && { addTokens }) };
  if (typeof resume === 'string' && (flags.out ?? resume) !== resume)
    throw new UserError(`--resume ${resume} and --out ${flags.out} are two folders: name one`);
  const begun: Partial<TrainRequest> = typeof resume === 'string' ? resumeRequest(resume) : {};
  const run: Partial<TrainRequest> = { ...begun, ...defined({ model, task, method, out, data }), ...defined(flags) };
  const missing = (['model', 'task', 'method', 'out'] as const).filter((key) => run[key] === undefined);
  if (missing.length > 0) {
    const whole = `--resume ${run.out ?? 'RUN'} takes them from the run`;
    throw new UserError(
      `promot train needs ${missing.map((key) => `--${key}`).join(', ')} (${resume === true ? whole : 'see --help'})`,
    );
  }
  if (begun.method === run.method && methods.find(run.method!) === undefined)
    throw new UserError(
      `${run.out} was trained by "${run.method}", a method of a plugin: name it again with --plugin FILE.js`,
    );
  // Which settings there are depends on the method, which the same file may name. Each alone, to say where it stands.
  const defaults = defaultConfig('encoder-decoder', false, findMethod(run.method!));
  readSettings(source, (one) => checkRunKey(one) || resolveConfig(defaults, one));
  const tasks = [run.task!].flat();
  const request = {
    ...(run as TrainRequest),
    task: tasks.length === 1 ? tasks[0]! : tasks,
    settings,
    resume: resume !== undefined,
  };
  return { request, tasks, config: resolveConfig(defaults, settings) };
}

/** Checks a key that says what the run is; false for a setting. */
function checkRunKey(one: Settings): boolean {
  const [[key, value]] = Object.entries(one) as [[string, unknown]];
  const schema = runKeys[key as keyof typeof runKeys];
  if (schema === undefined) return false;
  const { success, error } = schema.safeParse(value);
  if (!success) throw new UserError(`${key}: ${error.issues[0]!.message}`);
  return true;
}

/** Without keys that hold nothing. */
function defined<T extends object>(object: T): Partial<T> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function summary(result: TrainResult, next: string): string {
  const stages = result.stages.map(
    ({ best, seconds, ...name }) =>
      `${title(name)}: ${name.task === undefined ? result.metric : 'score'} ${best.score.toFixed(2)} ` +
      `at step ${best.step}, trained in ${duration(seconds)}`,
  );
  return [
    ...stages,
    `Peak memory ${gigabytes(result.peakMemory)}. ${result.finished ? 'Finished' : 'Stopped and saved'}: ${result.out}`,
    `${result.finished ? 'Next' : 'To go on'}: ${next}`,
  ].join('\n');
}

/**
 * With several tasks (of these names) that of the first: each is asked with its own prompt, and with exemplars as it
 * was trained.
 */
function evalCommandLine(
  { out, method, data }: TrainRequest,
  tasks: readonly string[],
  names: readonly string[],
  shots: number,
): string[] {
  const adapter = adapterAtUse(findMethod(method));
  const own = adapter === 'prompt' && tasks.length > 1 ? join(out, 'prompts', names[0]!) : out;
  // The run knows the task in its folder by name.
  const task = resolve(tasks[0]!) === resolve(out, 'task.yaml') ? names[0]! : tasks[0]!;
  return [
    'eval',
    '--model',
    out,
    ...(adapter ? ['--prompt', own] : []),
    '--task',
    task,
    '--shots',
    `${shots}`,
    ...flag('--data', data),
  ];
}

function flag(name: string, value: string | undefined): string[] {
  return value === undefined ? [] : [name, value];
}

/** What a POSIX shell reads as these words. */
function commandLine(words: readonly string[]): string {
  return words.map((word) => (/^[\w./=:@,+-]+$/u.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ');
}

// `promot train`: a training run with live progress; Ctrl-C and SIGTERM save and say how to go on. `--dry-run`: what it would do.
import { join } from 'node:path';
import { UserError } from '@promot/core/base';
import type { Split } from '@promot/core/data';
import { adapterAtUse, findMethod, methods } from '@promot/core/methods';
import { loadTask } from '@promot/core/tasks';
import type { Place, TrainEvent, TrainRequest, TrainResult } from '@promot/core/train';
import { defaultConfig, resolveConfig } from '@promot/core/train';
import { Command } from 'commander';
import { describeDryRun } from './dry-run.js';
import { untilInterrupted } from './interrupt.js';
import { answer, type Io } from './io.js';
import { checkPlaces } from './open.js';
import { type CommonOptions, dataOption, modelOption, requireFlags, withCommonOptions, wordList } from './options.js';
import { duration, gigabytes, Progress } from './progress.js';
import { inRanks } from './ranks.js';
import { readSettings } from './settings.js';
import { useTorch } from './torch.js';

interface Options extends CommonOptions {
  readonly model: string;
  readonly task: readonly string[];
  readonly method: string;
  readonly out: string;
  readonly data?: string;
  readonly resume?: boolean;
  readonly dryRun?: boolean;
}

export function trainCommand(io: Io): Command {
  const command = new Command('train')
    .description('Train a model on a task.')
    .addOption(modelOption())
    .option(
      '--task <A,B>',
      'a built-in task or a YAML file, see docs/tasks.md; several, with commas, are trained together (required)',
      wordList,
    )
    .option(
      '--method <X>',
      methods
        .all()
        .map(({ name, summary }) => `${name}: ${summary}`)
        .join('; ')
        .concat(' (required)'),
    )
    .option('--out <DIR>', 'the run folder to make (required)')
    .addOption(dataOption())
    .option('--resume', 'go on from the last good checkpoint in the run folder')
    .option('--dry-run', 'show examples, sizes, memory and time, without training');
  return requireFlags(withCommonOptions(command), '--model', '--task', '--method', '--out').action(
    inRanks(io, async (options: Options) => {
      const { model, task, method, out, data, resume, json } = options;
      if (task.length === 0) throw new UserError('--task names no task');
      const defaults = defaultConfig('encoder-decoder', false, findMethod(method));
      const settings = readSettings(options, (one) => resolveConfig(defaults, one));
      const progress = new Progress(io);
      // Data at fault and downloads come before libtorch does.
      const { keep, replay, shots } = resolveConfig(defaults, settings);
      const load = async (name: string, ...splits: readonly Split[]) => {
        const loaded = await loadTask(name, { data, hub: progress.hub });
        for (const split of splits) await loaded.load(split);
        return loaded;
      };
      const names: string[] = [];
      for (const one of task) names.push((await load(one, 'train', 'validation')).name);
      for (const one of replay.tasks) await load(one, 'train');
      for (const one of keep.tasks) await load(one);
      await checkPlaces(model, undefined, progress);
      const request: TrainRequest = { model, task, method, out, data, settings, resume };

      if (options.dryRun) {
        await useTorch();
        const { dryRun } = await import('@promot/core/train');
        const found = await dryRun({ ...request, onEvent: (event) => show(event, progress) });
        answer(io, json, found, () => describeDryRun(found));
        return;
      }
      await useTorch();
      const { train } = await import('@promot/core/train');
      const onEvent = (event: TrainEvent) => show(event, progress);
      const { result, exitCode } = await untilInterrupted(
        progress,
        'Finishing the step and saving a checkpoint',
        (signal) => train({ ...request, signal, onEvent }),
      );
      // Another rank's signal ends this one as SIGTERM does.
      if (!result.finished) io.exitCode = exitCode || 143;
      const words = result.finished ? evalCommandLine(options, names, shots) : resumeCommandLine(options);
      const next = `${io.program ?? 'promot'} ${commandLine(words)}`;
      answer(io, json, { ...result, next }, () => summary(result, next));
    }),
  );
}

function show(event: TrainEvent, progress: Progress): void {
  switch (event.type) {
    case 'start':
      progress.line(`${event.trainExamples} training examples, ${event.validationExamples} validation examples`);
      break;
    case 'stage':
      progress.line(
        `Stage ${title(event)}: ${event.trainedParameters.toLocaleString('en')} parameters, ${event.steps} steps${
          event.step > 0 ? `, goes on after step ${event.step}` : ''
        }`,
      );
      break;
    case 'step': {
      const rate = event.step / event.elapsed;
      const speed = rate >= 1 ? `${rate.toFixed(1)} steps/s` : `${(1 / rate).toFixed(1)} s/step`;
      const details = `loss ${event.loss.toFixed(4)}  ${speed}  ${event.tokensPerSecond.toFixed(0)} tokens/s`;
      progress.update(title(event), event.step, event.steps, details, event.remaining);
      break;
    }
    case 'evaluating':
      progress.waiting(title(event), `evaluating${event.of ? ` ${event.of}` : ''}`, event.done, event.total);
      break;
    case 'evaluation':
      progress.line(
        `${title(event)} step ${event.step}: ${event.metric} ${event.score.toFixed(2)}, evaluation loss ${event.evalLoss.toFixed(4)}`,
      );
      break;
    case 'keep': {
      const scores = event.keep.map(({ task, score, nll }) => `${task} ${score.toFixed(2)} (nll ${nll.toFixed(3)})`);
      progress.line(
        `${title(event)} step ${event.step}: keep list ${event.keepAverage.toFixed(2)}: ${scores.join(', ')}`,
      );
      break;
    }
    case 'best':
      progress.stop();
      progress.line(
        `Stage ${title(event)}: best checkpoint at step ${event.step} (${event.score.toFixed(2)}` +
          `${event.lost === undefined ? '' : `; ${event.lost.toFixed(2)} points of the keep list lost`})`,
      );
      break;
    case 'note':
      progress.line(`note: ${event.text}`);
      break;
  }
}

/** A stage as people call it. */
function title({ stage, task }: Pick<Place, 'stage' | 'task'>): string {
  return task === undefined ? stage : `${stage} ${task}`;
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

/** With several tasks (of these names) that of the first: each is asked with its own prompt, and with exemplars as it was trained. */
function evalCommandLine({ out, task, method, data }: Options, names: readonly string[], shots: number): string[] {
  const adapter = adapterAtUse(findMethod(method));
  const own = adapter === 'prompt' && task.length > 1 ? join(out, 'prompts', names[0]!) : out;
  return [
    ...['eval', '--model', out, ...(adapter ? ['--prompt', own] : []), '--task', task[0]!, '--shots', `${shots}`],
    ...flag('--data', data),
  ];
}

function resumeCommandLine({ model, task, method, out, data, config, set }: Options): string[] {
  return [
    ...['train', '--model', model, '--task', task.join(','), '--method', method, '--out', out],
    ...[...flag('--data', data), ...flag('--config', config), ...(set ?? []).flatMap((s) => ['--set', s]), '--resume'],
  ];
}

function flag(name: string, value: string | undefined): string[] {
  return value === undefined ? [] : [name, value];
}

/** What a POSIX shell reads as these words. */
function commandLine(words: readonly string[]): string {
  return words.map((word) => (/^[\w./=:@,+-]+$/u.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ');
}

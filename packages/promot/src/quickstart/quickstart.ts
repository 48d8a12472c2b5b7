// The whole job in minutes on the built-in lab: the pretrained model, plain fine-tuning, and ProMoT; what each scores
// on the target task and what is left of the others. Ends with a report.
import '../lab/register.js';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isRun, readTrainingRun } from '@promot/core/artifacts';
import { makeFolder, type Observer, UserError, writeText } from '@promot/core/base';
import type { TaskResult } from '@promot/core/evaluation';
import { writeReport } from '@promot/core/report';
import { labModelFolder } from '../lab/models.js';
import { pretrainLab } from '../lab/pretrain.js';
import { type ChildMessage, workApart } from './apart.js';
import { quickstartReport } from './report.js';
import type { ComparedModel, PromptOutputs, QuickstartResult, ScoreOf } from './result.js';
import { language, others, settings, target, titles } from './setup.js';

/** Prompts whose outputs the report shows. */
const shownPrompts = 8;
/** Seconds of pretraining in place, where the lab's model is not in this copy. */
const pretrainSeconds = 40;

export interface QuickstartOptions {
  /** Folder of the runs and the report; an earlier quickstart there is replaced. */
  readonly out: string;
  readonly onEvent?: Observer;
}

/**
 * Runs it all and writes the report (index.html, report.md, figures) beside the two runs.
 * Errors: a UserError where `out` is a folder that no quickstart made.
 */
export async function quickstart({ out, onEvent }: QuickstartOptions): Promise<QuickstartResult> {
  const started = performance.now();
  const say = (text: string) => onEvent?.({ type: 'phase', text });
  const tell = (what: string, done: number, total: number, details?: string) =>
    onEvent?.({ type: 'progress', what, done, total, ...(details !== undefined && { details }) });
  await clear(out);
  const { model, pretrainedInPlace } = await ensureLabModel(out, say, tell);

  say('Training with fine-tune and with promot, side by side; then asking all three models');
  const tally = new Tally(tell);
  const tuned = async (method: 'fine-tune' | 'promot') => {
    const folder = join(out, method);
    const request = { model, task: target, method, out: folder, settings };
    await workApart({ train: request }, (message) => {
      tally.hear(method, message);
      if ('event' in message && message.event.type === 'evaluation') {
        const { stage, step, metric, score } = message.event;
        say(`${method}, stage ${stage}, step ${step}: ${metric} ${score.toFixed(1)}`);
      }
    });
    return folder;
  };
  const asked = (name: string, folder: string, prompt?: string) =>
    workApart({ evaluate: { model: folder, ...(prompt !== undefined && { prompt }) } }, (message) =>
      tally.hear(`${name} asked`, message),
    );
  // Fine-tuning has one stage and is done first: its process asks the pretrained model, too.
  const short = async () => {
    const folder = await tuned('fine-tune');
    return { folder, results: [await asked('pretrained', model), await asked('fine-tuned', folder)] };
  };
  const long = async () => {
    const folder = await tuned('promot');
    return { folder, results: [await asked('ProMoT', folder, folder)] };
  };
  const [plain, promot] = await Promise.all([short(), long()]);

  const results = [...plain.results, ...promot.results];
  const names = ['pretrained', 'fine-tuned', 'ProMoT'];
  const samples = results.map(([, ...rest]) => rest.map((result) => result.samples));
  const result = {
    language,
    contenders: results.map((own, i) => contenderOf(names[i]!, own)),
    sideBySide: telling(
      others.map((task, t) =>
        samples[0]![t]!.map(({ input, references }, i) => {
          const outputs = samples.map((own) => own[t]![i]!.trimmed);
          const reference = references[0]!;
          return { task, input, reference, outputs, right: outputs.map((output) => same(output, reference)) };
        }),
      ),
    ),
    pretrainedInPlace,
    seconds: (performance.now() - started) / 1000,
  };
  const runs = [
    { name: 'fine-tuned', run: readTrainingRun(plain.folder) },
    { name: 'ProMoT', run: readTrainingRun(promot.folder) },
  ];
  return { ...result, files: await writeReport(out, quickstartReport(result, runs)) };
}

/** How far both processes are, as one bar: steps, and tasks that were asked at the end. */
class Tally {
  readonly #parts = new Map<string, { done: number; details: string }>();
  readonly #total: number;

  constructor(private readonly tell: (title: string, done: number, total: number, details?: string) => void) {
    this.#total = settings.stage1.steps + 2 * settings.stage2.steps + 3 * (1 + others.length) * Tally.askedSteps;
  }

  /** A task asked takes about as long as so many steps. */
  static readonly askedSteps = 8;

  hear(name: string, message: ChildMessage): void {
    if ('evaluated' in message) this.#parts.set(name, { done: message.evaluated[0] * Tally.askedSteps, details: '' });
    else if ('event' in message && message.event.type === 'step') {
      const { stage, step, loss } = message.event;
      const before = name === 'promot' && stage === 'model' ? settings.stage1.steps : 0;
      this.#parts.set(name, { done: before + step, details: `${name} step ${before + step} loss ${loss.toFixed(3)}` });
    } else return;
    const parts = [...this.#parts.values()];
    const details = parts.flatMap((part) => (part.details === '' ? [] : [part.details])).join(', ');
    const done = parts.reduce((sum, part) => sum + part.done, 0);
    this.tell('quickstart', done, this.#total, details);
  }
}

const same = (a: string, b: string) => a.trim().toLowerCase() === b.trim().toLowerCase();

/**
 * The prompts that tell most: first those that fine-tuning gets wrong while the others get them right, then others on
 * which the models differ, then any; from each task in turn.
 */
function telling(tasks: readonly (readonly PromptOutputs[])[]): PromptOutputs[] {
  const rank = ({ outputs, right: [before, plain, promot] }: PromptOutputs) =>
    before && !plain && promot ? 0 : outputs.some((output) => output !== outputs[0]) ? 1 : 2;
  const sorted = tasks.map((items) => [...items].sort((a, b) => rank(a) - rank(b)));
  const turns = Array.from({ length: shownPrompts }, (_, i) => sorted.flatMap((items) => items[i] ?? [])).flat();
  return turns.sort((a, b) => rank(a) - rank(b)).slice(0, shownPrompts);
}

function contenderOf(name: string, [own, ...rest]: readonly TaskResult[]): ComparedModel {
  const scoreOf = ({ task, metric, score, interval }: TaskResult): ScoreOf => {
    return { task, title: titles[task] ?? task, metric, score, interval };
  };
  const outputs = rest.reduce((n, result) => n + result.n, 0);
  const inForm = rest.reduce((n, result) => n + result.formShare! * result.n, 0);
  return { name, target: scoreOf(own!), others: rest.map(scoreOf), formShare: inForm / outputs };
}

/** The folder of the lab's model. Where this copy has none, a poor one is made in a minute. */
async function ensureLabModel(
  out: string,
  say: (text: string) => void,
  tell: (title: string, done: number, total: number, details?: string) => void,
): Promise<{ model: string; pretrainedInPlace: boolean }> {
  if (existsSync(labModelFolder('lab'))) return { model: labModelFolder('lab'), pretrainedInPlace: false };
  say(`The built-in model is not in this copy: pretraining a poor one for ${pretrainSeconds} s`);
  const folder = join(out, 'pretrained');
  const abort = new AbortController();
  await pretrainLab(folder, {
    signal: abort.signal,
    onEvent: (event) => {
      if (event.type !== 'step') return;
      const spent = Math.min(Math.round(event.elapsed), pretrainSeconds);
      if (spent === pretrainSeconds) abort.abort();
      tell('pretrain (s)', spent, pretrainSeconds, `step ${event.step}, loss ${event.loss.toFixed(2)}`);
    },
  });
  return { model: join(folder, 'model'), pretrainedInPlace: true };
}

/** Removes what an earlier quickstart left, and nothing else. */
async function clear(out: string): Promise<void> {
  if (existsSync(out) && !existsSync(join(out, marker)))
    throw new UserError(`${out} is there already, and no quickstart made it: name another folder with --out`);
  if (isRun(out)) throw new UserError(`${out} is a training run: name another folder with --out`);
  await rm(out, { recursive: true, force: true });
  makeFolder(out);
  await writeText(join(out, marker), 'Made by promot quickstart; the next one replaces this folder.\n');
}

const marker = '.quickstart';

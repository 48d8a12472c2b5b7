// The whole job in minutes on the built-in lab: the pretrained model, plain fine-tuning, and ProMoT; what each scores
// on the target task and what is left of the others. Ends with a report.
import '../lab/register.js';
import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isRun, readTrainingRun } from '@promot/core/artifacts';
import { UserError, writeText } from '@promot/core/base';
import type { Sample } from '@promot/core/evaluation';
import { evaluateTask, type TaskResult } from '@promot/core/evaluation';
import { openModel, openPrompt } from '@promot/core/open';
import { writeReport } from '@promot/core/report';
import { loadTask } from '@promot/core/tasks';
import { labModelFolder } from '../lab/models.js';
import { pretrainLab } from '../lab/pretrain.js';
import { quickstartReport } from './report.js';
import type { Contender, QuickstartResult, ScoreOf, SideBySide } from './result.js';
import { trainApart } from './train-apart.js';

// What it does. Two cores with AVX-512 need two minutes for it, two with AVX2 alone eight.
const targetTask = 'lab-rte';
const otherTasks = ['lab-reading', 'lab-closed-book', 'lab-translation', 'lab-summary'];
/** Exemplars in front of the other tasks' inputs; the target task is always asked without. */
const shots = 1;
const settings = {
  batchSize: 32,
  microBatchSize: 32,
  // As in the experiments at scale `lab`: see there for the reasons.
  dropout: 0,
  beams: 1,
  promptLength: 20,
  validationLimit: 200,
  stage1: { steps: 200, keepEvery: 100 },
  stage2: { steps: 400, keepEvery: 100, learningRate: 0.003 },
  // A few prompts of each other task, asked at the start and at every kept checkpoint of the model's stage.
  keep: { tasks: otherTasks, shots, limit: 15 },
} as const;
const evaluation = { beams: 1, limit: 60 } as const;
/** Prompts whose outputs the report shows. */
const shownPrompts = 8;
/** Seconds of pretraining in place, where the lab's model is not in this copy. */
const pretrainSeconds = 40;

export interface QuickstartOptions {
  /** Folder of the runs and the report; an earlier quickstart there is replaced. */
  readonly out: string;
  readonly onProgress?: (progress: { title: string; done: number; total: number; details?: string }) => void;
  readonly onLine?: (text: string) => void;
}

/**
 * Runs it all and writes the report (index.html, report.md, figures) beside the two runs.
 * Errors: a UserError where `out` is a folder that no quickstart made.
 */
export async function quickstart({ out, onProgress, onLine }: QuickstartOptions): Promise<QuickstartResult> {
  const started = performance.now();
  const say = (text: string) => onLine?.(text);
  const tell = (title: string, done: number, total: number, details?: string) =>
    onProgress?.({ title, done, total, details });
  await clear(out);
  const { model, pretrainedInPlace } = await ensureLabModel(out, say, tell);

  const { labels = [] } = await loadTask(targetTask);
  say('Training with the methods fine-tune and promot, side by side');
  const [plain, promot] = await trainBoth(model, out, say, tell);

  say('Evaluating');
  const models = [
    { name: 'pretrained', model },
    { name: 'fine-tuned', model: plain },
    { name: 'ProMoT', model: promot, prompt: promot },
  ];
  const contenders: Contender[] = [];
  const samples: (readonly (readonly Sample[])[])[] = [];
  for (const { name, model: path, prompt } of models) {
    const results = await evaluateAll(name, path, prompt, labels, tell);
    contenders.push(contenderOf(name, results));
    samples.push(results.slice(1).map((result) => result.samples));
  }
  const result = {
    labels,
    contenders,
    sideBySide: telling(
      otherTasks.map((task, t) =>
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
    { name: 'fine-tuned', run: readTrainingRun(plain) },
    { name: 'ProMoT', run: readTrainingRun(promot) },
  ];
  return { ...result, files: await writeReport(out, quickstartReport(result, runs)) };
}

/** The target task first, with the prompt where there is one; then the other tasks, without. */
async function evaluateAll(
  name: string,
  path: string,
  promptPath: string | undefined,
  labels: readonly string[],
  tell: (title: string, done: number, total: number) => void,
): Promise<TaskResult[]> {
  const loaded = await openModel(path, 'float32');
  const prompt = promptPath === undefined ? undefined : openPrompt(promptPath, loaded.model);
  try {
    const results: TaskResult[] = [];
    for (const taskName of [targetTask, ...otherTasks]) {
      const isTarget = taskName === targetTask;
      const onProgress = (done: number, total: number) => tell(`${name} on ${taskName}`, done, total);
      const options = { ...evaluation, labels, shots: isTarget ? 0 : shots, onProgress };
      const task = await loadTask(taskName);
      results.push(await evaluateTask(loaded, task, { ...options, prompt: isTarget ? prompt : undefined }));
    }
    return results;
  } finally {
    prompt?.dispose();
    loaded.dispose();
  }
}

/** Both runs at once, in processes of their own; their folders. */
async function trainBoth(
  model: string,
  out: string,
  say: (text: string) => void,
  tell: (title: string, done: number, total: number, details?: string) => void,
): Promise<[plain: string, promot: string]> {
  const steps = { 'fine-tune': settings.stage2.steps, promot: settings.stage1.steps + settings.stage2.steps };
  const total = steps['fine-tune'] + steps.promot;
  const at = new Map<string, { done: number; loss: number }>();
  const run = async (method: 'fine-tune' | 'promot') => {
    const folder = join(out, method);
    await trainApart({ model, task: targetTask, method, out: folder, settings }, (event) => {
      if (event.type === 'step') {
        const before = method === 'promot' && event.stage === 'model' ? settings.stage1.steps : 0;
        at.set(method, { done: before + event.step, loss: event.loss });
        const all = [...at];
        const details = all.map(([name, { done, loss }]) => `${name} step ${done} loss ${loss.toFixed(3)}`).join(', ');
        tell(
          'training',
          all.reduce((sum, [, { done }]) => sum + done, 0),
          total,
          details,
        );
      }
      if (event.type === 'evaluation')
        say(`${method}, stage ${event.stage}, step ${event.step}: ${event.metric} ${event.score.toFixed(1)}`);
    });
    return folder;
  };
  return Promise.all([run('fine-tune'), run('promot')]);
}

const same = (a: string, b: string) => a.trim().toLowerCase() === b.trim().toLowerCase();

/**
 * The prompts that tell most: first those that fine-tuning gets wrong while the others get them right, then others on
 * which the models differ, then any; from each task in turn.
 */
function telling(tasks: readonly (readonly SideBySide[])[]): SideBySide[] {
  const rank = ({ outputs, right: [before, plain, promot] }: SideBySide) =>
    before && !plain && promot ? 0 : outputs.some((output) => output !== outputs[0]) ? 1 : 2;
  const sorted = tasks.map((items) => [...items].sort((a, b) => rank(a) - rank(b)));
  const turns = Array.from({ length: shownPrompts }, (_, i) => sorted.flatMap((items) => items[i] ?? [])).flat();
  return turns.sort((a, b) => rank(a) - rank(b)).slice(0, shownPrompts);
}

function contenderOf(name: string, [target, ...others]: readonly TaskResult[]): Contender {
  const scoreOf = ({ task, metric, score, interval }: TaskResult): ScoreOf => ({ task, metric, score, interval });
  const outputs = others.reduce((n, result) => n + result.n, 0);
  const inForm = others.reduce((n, result) => n + result.formShare! * result.n, 0);
  return { name, target: scoreOf(target!), others: others.map(scoreOf), formShare: inForm / outputs };
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
  let spent = 0;
  const abort = new AbortController();
  await pretrainLab(folder, {
    signal: abort.signal,
    onStep: ({ step, loss, seconds }) => {
      spent += seconds;
      if (spent > pretrainSeconds) abort.abort();
      tell(
        'pretrain (s)',
        Math.min(Math.round(spent), pretrainSeconds),
        pretrainSeconds,
        `step ${step}, loss ${loss.toFixed(2)}`,
      );
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
  await mkdir(out, { recursive: true });
  await writeText(join(out, marker), 'Made by promot quickstart; the next one replaces this folder.\n');
}

const marker = '.quickstart';

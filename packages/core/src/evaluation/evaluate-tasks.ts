// One model on several tasks, with files: results, samples, and the answers from which an evaluation goes on.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { distributed, libtorch, type Tensor } from '@promot/torch';
import { writeResults } from '../artifacts/results-file.js';
import { samplesPath, writeSamples } from '../artifacts/samples-file.js';
import { UserError } from '../base/errors.js';
import type { Observer } from '../base/events.js';
import { removeTemporaries } from '../base/write.js';
import { draws, type SamplingSettings, samplingKeys } from '../generation/sampling.js';
import type { HubOptions } from '../hub/settings.js';
import { normalizedAverage } from '../metrics/normalized-average.js';
import { chooseDevice, type DeviceSetting } from '../models/device.js';
import type { LoadedModel } from '../models/load.js';
import { fingerprintModel, fingerprintPrompt } from '../open/fingerprint.js';
import { openModel, openPrompt } from '../open/open.js';
import { taskBeside } from '../open/run-task.js';
import { loadTask } from '../tasks/registry.js';
import { type Example, fingerprintExamples, type Task } from '../tasks/task.js';
import { Answers } from './answers.js';
import {
  collectAnswers,
  evaluationExamples,
  missingAnswers,
  type TaskOptions,
  type TaskResult,
  taskResult,
} from './evaluate-loaded.js';

export interface EvaluateTasksRequest extends Omit<TaskOptions, 'prompt'> {
  /** Folder, GGUF file, run folder, `lab`, or a name on the hub. */
  readonly model: string;
  /** PEFT adapter folder or run folder; attached only where it is given. */
  readonly prompt?: string;
  /** Names of built-in tasks or paths of YAML files. */
  readonly tasks: readonly string[];
  /** Folder with the data of built-in tasks. */
  readonly data?: string;
  /** Default fp32: the same score on every processor. */
  readonly precision?: 'fp32' | 'bf16';
  /** Default `auto`. */
  readonly device?: DeviceSetting;
  /**
   * Where results.json and samples-TASK.jsonl go, and `answers/`: an evaluation that was interrupted goes on from
   * there, and one that was made before costs nothing. Nothing is written without it.
   */
  readonly out?: string;
  readonly hub?: HubOptions;
  /** Hears of downloads, too, of what was there already, and of what a person should know. */
  readonly onEvent?: Observer;
}

/** What `evaluateTasks` found. */
export interface TasksResult {
  readonly tasks: readonly TaskResult[];
  /** The paper's normalised average of the scores, 0 to 100; for several tasks. */
  readonly average?: number;
}

/**
 * Opens a model by its name (only where an answer is missing), evaluates it on tasks one after the other and, with
 * `out`, writes the files. For a model that is loaded already: `evaluateLoaded`; for examples that are no task's:
 * `evaluateExamples`. In a process group all ranks call it with the same request; they divide the batches, and rank 0
 * writes. Errors: a UserError for anything wrong with the model, the prompt, a task or its data.
 *
 * @example
 * const request = { model: 'runs/rte', tasks: ['rte', 'snli'], data: 'data', out: 'results' };
 * const { tasks, average } = await evaluateTasks(request);
 */
export async function evaluateTasks(request: EvaluateTasksRequest): Promise<TasksResult> {
  const { model, prompt, tasks: names, out, hub } = request;
  if (names.length === 0) throw new UserError('no task to evaluate');
  if (out !== undefined && existsSync(out)) removeTemporaries(out, anHour);
  const warned = new Set<string>();
  const onWarning = (message: string) => {
    if (!warned.has(message)) request.onEvent?.({ type: 'note', text: message });
    warned.add(message);
  };
  const tasks: Task[] = [];
  for (const name of names) tasks.push(await loadTask(await taskBeside(model, name), { ...request, onWarning }));
  const twice = tasks.find(({ name }, i) => tasks.findIndex((task) => task.name === name) !== i);
  if (twice) throw new UserError(`task ${twice.name} is named twice`);
  const fingerprints =
    out === undefined
      ? undefined
      : {
          modelFingerprint: await fingerprintModel(model, hub),
          ...(prompt !== undefined && { promptFingerprint: await fingerprintPrompt(prompt) }),
        };
  const writes = distributed.getRank() === 0;
  const opened = new LazyModel(request);
  try {
    const results: TaskResult[] = [];
    for (const task of tasks) {
      const examples = await evaluationExamples(task, request);
      const answers = new Answers(
        fingerprints && writes
          ? join(out!, 'answers', await answersName(task, examples, request, fingerprints))
          : undefined,
      );
      await answers.share();
      const { missing, total } = missingAnswers(task, examples, request, answers);
      if (missing < total)
        request.onEvent?.({ type: 'reused', of: task.name, there: total - missing, total, folder: out! });
      const options = { ...request, prompt: undefined };
      if (missing > 0) {
        const { loaded, softPrompt } = await opened.get();
        await collectAnswers(loaded, task, examples, { ...options, prompt: softPrompt }, answers);
      }
      results.push(taskResult(task, examples, options, answers));
    }
    const report: TasksResult = {
      tasks: results,
      ...(results.length > 1 && { average: normalizedAverage(results.map(({ score }) => score)) }),
    };
    if (fingerprints && writes) writeReport(out!, report, request, fingerprints);
    return report;
  } finally {
    opened.dispose();
  }
}

/** `evaluateTasks` for one task. */
export async function evaluate({
  task,
  ...request
}: Omit<EvaluateTasksRequest, 'tasks'> & { readonly task: string }): Promise<TaskResult> {
  return (await evaluateTasks({ ...request, tasks: [task] })).tasks[0]!;
}

/** A model and its soft prompt, opened when they are first needed. */
class LazyModel {
  #opened: { loaded: LoadedModel; softPrompt: Tensor | undefined } | undefined;
  constructor(private readonly request: EvaluateTasksRequest) {}

  async get(): Promise<{ loaded: LoadedModel; softPrompt: Tensor | undefined }> {
    if (this.#opened) return this.#opened;
    const { model, prompt, precision = 'fp32', device, hub } = this.request;
    const loaded = await openModel(model, precision === 'bf16' ? 'bfloat16' : 'float32', { device, hub });
    this.#opened = { loaded, softPrompt: undefined };
    if (prompt !== undefined) this.#opened.softPrompt = openPrompt(prompt, loaded.model);
    return this.#opened;
  }

  dispose(): void {
    this.#opened?.softPrompt?.dispose();
    for (const parameter of this.#opened?.loaded.model.parameters.values() ?? []) parameter.dispose();
  }
}

interface Fingerprints {
  readonly modelFingerprint: string;
  readonly promptFingerprint?: string;
}

/** Other processes may evaluate into the same folder. */
const anHour = 3_600_000;

/** To be raised with every change of promot that changes answers. */
const answersVersion = 4;

/** A file name that tells, by hash, all that a task's answers depend on. */
async function answersName(
  task: Task,
  examples: readonly Example[],
  request: EvaluateTasksRequest,
  fingerprints: Fingerprints,
): Promise<string> {
  const { shots = 0, seed = 0, beams = 4, lengthPenalty = 1, maxInputLength = 0, precision = 'fp32' } = request;
  const dependsOn = {
    answersVersion,
    ...fingerprints,
    task: `${task.name}@${task.version}`,
    labels: task.labels,
    // Undefined where there are none, as in answers that were given before tasks had them.
    stop: task.stop?.length ? task.stop : undefined,
    maxInputTokens: task.maxInputTokens,
    examples: fingerprintExamples(examples),
    exemplars: shots > 0 && [shots, seed, fingerprintExamples(await task.load('train'))],
    settings: {
      precision,
      device: chooseDevice(request.device),
      libtorch: libtorch().version,
      beams,
      lengthPenalty,
      maxInputLength,
      // Where it is not given, the model's tokenizer and the examples say.
      maxNewTokens: request.maxNewTokens ?? task.maxNewTokens,
      ...samplingOf(request),
    },
  };
  const hash = createHash('sha256').update(JSON.stringify(dependsOn)).digest('hex');
  return `${task.name}-${hash.slice(0, 16)}.jsonl`;
}

/** The settings that choose tokens, where they are given; the seed only where it draws some. */
function samplingOf(request: EvaluateTasksRequest): SamplingSettings {
  const keys = samplingKeys.filter((key) => request[key] !== undefined && (key !== 'seed' || draws(request)));
  return Object.fromEntries(keys.map((key) => [key, request[key]]));
}

/** results.json holds the report; fingerprints and settings stand beside it. */
function writeReport(
  out: string,
  { tasks, average }: TasksResult,
  request: EvaluateTasksRequest,
  fingerprints: Fingerprints,
): void {
  const {
    model,
    prompt,
    precision = 'fp32',
    beams = draws(request) ? 1 : 4,
    limit,
    maxInputLength = 0,
    decide = 'generation',
  } = request;
  const { maxNewTokens: newTokens, lengthPenalty, nll = false } = request;
  const settings = {
    model,
    prompt,
    precision,
    beams,
    limit,
    maxInputLength,
    decide,
    maxNewTokens: newTokens,
    lengthPenalty,
    nll,
    ...samplingOf(request),
  };
  const bare: Omit<TaskResult, 'samples'>[] = [];
  for (const { samples, ...result } of tasks) {
    writeSamples(samplesPath(out, result.task), samples);
    bare.push(result);
  }
  writeResults(out, { tasks: bare, average, settings, ...fingerprints, date: new Date().toISOString() });
}

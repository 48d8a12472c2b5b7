// A task from its data to a result: k-shot prompts, generation, metric with its interval, files for later.
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { noGrad } from '@promot/torch';
import { fewShotPrompts } from '../data/few-shot.js';
import type { HubOptions } from '../data/hub.js';
import type { Split } from '../data/source.js';
import { UserError } from '../errors.js';
import { writeText } from '../files/write.js';
import { firstWord } from '../metrics/accuracy.js';
import { bootstrapInterval, type Interval } from '../metrics/bootstrap.js';
import type { LoadedModel } from '../models/load.js';
import { openModel, openPrompt } from '../runs/open.js';
import { loadTask } from '../tasks/registry.js';
import { type Example, fingerprintExamples, type Task } from '../tasks/task.js';
import { tokenizeInput } from '../models/tokenize.js';
import { type EvaluateOptions, evaluateExamples, maxNewTokens, type Sample } from './evaluate.js';
import { type LikelihoodAccuracy, likelihoodAccuracy } from './likelihood.js';

export interface TaskOptions extends EvaluateOptions {
  /** Exemplars in front of every input, from the training split. Default 0. */
  readonly shots?: number;
  /** Draws the exemplars: equal seeds give equal ones to all models. Default 0. */
  readonly seed?: number;
  /** Only the first so many examples of the split. */
  readonly limit?: number;
  /** Words whose share among the outputs is reported as `formShare`; by default the task's labels. */
  readonly labels?: readonly string[];
  /** For tasks with labels: what `score` is, the generated answers' accuracy (default) or the most likely label's. */
  readonly decide?: 'generation' | 'likelihood';
}

export interface TaskResult {
  readonly task: string;
  readonly version: string;
  readonly split: Split;
  readonly metric: string;
  /** 0 to 100. */
  readonly score: number;
  /** Percentile bootstrap, 95 %, 1,000 resamples; of the generated answers' score. */
  readonly interval: Interval;
  readonly n: number;
  readonly shots: number;
  readonly seed: number;
  readonly signature: string;
  /** The words that `formShare` counts. */
  readonly labels?: readonly string[];
  /** Percent of the outputs whose first word, trimmed, is one of `labels`. */
  readonly formShare?: number;
  /** For tasks with labels: accuracy of the generated answers, and of the labels ranked by likelihood. */
  readonly generation?: number;
  readonly likelihood?: LikelihoodAccuracy;
  /** What a reader of the score must know: stand-ins, dropped exemplars, cut inputs. */
  readonly notes: readonly string[];
  /** SHA-256 of the evaluated examples. */
  readonly dataFingerprint: string;
  readonly samples: readonly Sample[];
}

/**
 * Evaluates a loaded model on a task's evaluation split.
 * Errors: a UserError for data at fault, too few exemplars, or `likelihood` on a task without labels.
 */
export async function evaluateTask(loaded: LoadedModel, task: Task, options: TaskOptions = {}): Promise<TaskResult> {
  const { shots = 0, seed = 0, decide = 'generation', prompt, maxInputLength = 0 } = options;
  if (decide === 'likelihood' && !task.labels)
    throw new UserError(`decide=likelihood ranks labels, and task ${task.name} has none`);
  const split = await task.load(task.evaluationSplit);
  if (split.length === 0) throw new UserError(`task ${task.name}: its ${task.evaluationSplit} split is empty`);
  const examples = split.slice(0, options.limit ?? split.length);
  const { examples: prompted, notes } = await withExemplars(loaded, task, examples, {
    shots,
    seed,
    // Room for the soft prompt and the answer.
    promptRows: prompt?.size(0) ?? 0,
    newTokens: options.maxNewTokens ?? maxNewTokens(task),
    maxInputLength,
  });
  const evaluation = await evaluateExamples(loaded, task, prompted, options);
  const likelihood = task.labels ? await likelihoodAccuracy(loaded, task.labels, prompted, options) : undefined;
  const labels = options.labels ?? task.labels;
  const inForm = evaluation.samples.filter(({ trimmed }) => labels?.includes(firstWord(trimmed))).length;
  return {
    task: task.name,
    version: task.version,
    split: task.evaluationSplit,
    metric: evaluation.metric,
    score: decide === 'likelihood' ? likelihood!.raw : evaluation.score,
    interval: bootstrapInterval(evaluation.result),
    n: evaluation.n,
    shots,
    seed,
    signature: evaluation.signature,
    ...(labels && { labels, formShare: (100 * inForm) / evaluation.n }),
    ...(likelihood && { generation: evaluation.score, likelihood }),
    notes: [...task.notes, ...notes],
    dataFingerprint: fingerprintExamples(examples),
    samples: evaluation.samples,
  };
}

/** The examples with exemplars in front of their inputs, fitted to the limits, and notes on what that took. */
async function withExemplars(
  { model, tokenizer }: LoadedModel,
  task: Task,
  examples: readonly Example[],
  limits: { shots: number; seed: number; promptRows: number; newTokens: number; maxInputLength: number },
): Promise<{ examples: Example[]; notes: string[] }> {
  const { shots, seed, promptRows, newTokens, maxInputLength } = limits;
  // T5's positions are relative: it has no limit of its own.
  const positions =
    model.kind === 'decoder-only' ? (model.config().max_position_embeddings as number | undefined) : undefined;
  const maxPromptTokens = Math.min(
    positions === undefined ? Number.POSITIVE_INFINITY : positions - promptRows - newTokens,
    maxInputLength || Number.POSITIVE_INFINITY,
  );
  const make = fewShotPrompts({
    train: shots > 0 ? await task.load('train') : [],
    shots,
    seed,
    maxInputTokens: task.maxInputTokens,
    maxPromptTokens,
    countTokens: (text) => tokenizeInput(text, tokenizer, model.kind).length,
  });
  const prompts = examples.map(make);
  const count = (test: (prompt: (typeof prompts)[number]) => boolean) => prompts.filter(test).length;
  const [cut, dropped, over] = [count((p) => p.cut), count((p) => p.dropped > 0), count((p) => p.overLimit)];
  const of = `of ${prompts.length}`;
  return {
    examples: examples.map((example, i) => ({ ...example, input: prompts[i]!.text, shortenable: undefined })),
    notes: [
      ...(cut > 0 ? [`${cut} ${of} inputs were cut to fit`] : []),
      ...(dropped > 0 ? [`${dropped} ${of} prompts have fewer than ${shots} exemplars, to fit`] : []),
      ...(over > 0 ? [`${over} ${of} prompts are longer than the limit of ${maxPromptTokens} tokens`] : []),
    ],
  };
}

export interface EvaluateRequest extends Omit<TaskOptions, 'prompt'> {
  /** Folder, GGUF file, run folder, `lab`, or a name on the hub. */
  readonly model: string;
  /** PEFT adapter folder or run folder; attached only where it is given. */
  readonly prompt?: string;
  /** Name of a built-in task or path of a YAML file. */
  readonly task: string;
  /** Folder with the data of built-in tasks. */
  readonly data?: string;
  /** Default fp32: the same score on every processor. */
  readonly precision?: 'fp32' | 'bf16';
  /** Where results.json and samples-TASK.jsonl go; nothing is written without it. */
  readonly out?: string;
  readonly hub?: HubOptions;
  /** Hears of what does not stop the work: a split of another size than the paper's. */
  readonly onWarning?: (message: string) => void;
}

/**
 * Opens a model, evaluates it on a task and, with `out`, writes results.json and samples-TASK.jsonl.
 * Errors: a UserError for anything wrong with the model, the prompt, the task or its data.
 *
 * @example
 * const { score } = await evaluate({ model: 'runs/rte', prompt: 'runs/rte', task: 'rte', data: 'data' });
 */
export async function evaluate(request: EvaluateRequest): Promise<TaskResult> {
  const { model: name, prompt: promptName, precision = 'fp32', out, hub } = request;
  const task = await loadTask(request.task, request);
  const loaded = await openModel(name, precision === 'bf16' ? 'bfloat16' : 'float32', hub);
  try {
    const prompt = promptName === undefined ? undefined : openPrompt(promptName, loaded.model);
    try {
      const result = await evaluateTask(loaded, task, { ...request, prompt });
      const unique = { ...result, notes: [...new Set(result.notes)] };
      if (out !== undefined) await writeResult(out, unique, loaded, request);
      return unique;
    } finally {
      prompt?.dispose();
    }
  } finally {
    for (const parameter of loaded.model.parameters.values()) parameter.dispose();
  }
}

async function writeResult(
  out: string,
  { samples, ...result }: TaskResult,
  { model }: LoadedModel,
  request: EvaluateRequest,
): Promise<void> {
  await mkdir(out, { recursive: true });
  const { model: name, prompt, precision = 'fp32', beams = 4, limit, maxInputLength = 0 } = request;
  const settings = { model: name, prompt, precision, beams, limit, maxInputLength, decide: request.decide };
  const modelFingerprint = fingerprintModel(model.parameters);
  await writeText(join(out, `samples-${result.task}.jsonl`), samples.map((s) => `${JSON.stringify(s)}\n`).join(''));
  await writeText(
    join(out, 'results.json'),
    `${JSON.stringify({ ...result, settings, modelFingerprint, date: new Date().toISOString() }, null, 2)}\n`,
  );
}

/** SHA-256 (hex) of the parameters as they are in memory: names, types, shapes, bytes. */
function fingerprintModel(parameters: LoadedModel['model']['parameters']): string {
  const hash = createHash('sha256');
  noGrad(() => {
    for (const [name, tensor] of [...parameters].sort(([a], [b]) => (a < b ? -1 : 1))) {
      hash.update(JSON.stringify([name, tensor.dtype, tensor.shape]));
      hash.update(tensor.toBytes());
    }
  });
  return hash.digest('hex');
}

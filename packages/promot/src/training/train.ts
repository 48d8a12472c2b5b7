// One training run: checks everything, makes the run folder, walks through the method's stages, resumes where it stopped.
import { existsSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { Adafactor, AdamW, deriveSeed, type Optimizer, type Parameters, Sgd, type Tensor } from '@promot/torch';
import { cpuFeatures } from '@promot/torch/setup';
import { cutInput, fewShotPrompts, joinExemplars, trainingExemplar } from '../data/few-shot.js';
import { UserError } from '../errors.js';
import { evaluateExamples, targetLoss } from '../evaluation/evaluate.js';
import { findMethod, type Method, type Stage } from '../methods/index.js';
import { type LoadedModel, saveModel } from '../models/load.js';
import type { TokenizedExample } from '../models/model.js';
import { tokenizeExample } from '../models/tokenize.js';
import { openModel } from '../runs/open.js';
import {
  bestOf,
  type Candidate,
  isRun,
  RunFolder,
  type RunInfo,
  readRun,
  type StageState,
} from '../runs/run-folder.js';
import { loadTask } from '../tasks/registry.js';
import type { Example, Task } from '../tasks/task.js';
import { attachLora, type Lora, writeLoraAdapter } from '../tuning/lora.js';
import { writePromptAdapter } from '../tuning/peft.js';
import { initPrompt } from '../tuning/soft-prompt.js';
import { type ConfigInput, defaultConfig, resolveConfig, type StageConfig, type TrainingConfig } from './config.js';
import { toMicroBatches, trainLoop } from './loop.js';
import { ExampleOrder } from './order.js';
import { learningRateAt } from './schedule.js';

export interface TrainRequest {
  /** Model folder, GGUF file or run folder. */
  readonly model: string;
  /** Name of a built-in task or path of a YAML file. */
  readonly task: string;
  readonly method: string;
  /** The run folder, which must not hold anything yet (unless `resume`). */
  readonly out: string;
  /** Folder with the data of built-in tasks. */
  readonly data?: string;
  /** Settings other than the defaults. */
  readonly settings?: ConfigInput;
  /** Go on from the last good checkpoint in `out`; a run that has none starts at the beginning. */
  readonly resume?: boolean;
  /** Ends the run after the current step, with a checkpoint. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: TrainEvent) => void;
}

/** What happens in a run, as it happens. */
export type TrainEvent =
  | {
      readonly type: 'start';
      readonly config: TrainingConfig;
      readonly trainExamples: number;
      readonly validationExamples: number;
    }
  | {
      readonly type: 'stage';
      readonly stage: string;
      readonly step: number;
      readonly steps: number;
      readonly trainedParameters: number;
    }
  | ({ readonly type: 'step'; readonly steps: number } & MetricsLine)
  | {
      readonly type: 'evaluating';
      readonly stage: string;
      readonly step: number;
      readonly done: number;
      readonly total: number;
    }
  | {
      readonly type: 'evaluation';
      readonly stage: string;
      readonly step: number;
      readonly metric: string;
      readonly score: number;
      readonly evalLoss: number;
    }
  | { readonly type: 'best'; readonly stage: string; readonly step: number; readonly score: number }
  | { readonly type: 'note'; readonly text: string };

/** A line of metrics.jsonl for a training step. */
export interface MetricsLine {
  readonly stage: string;
  readonly step: number;
  readonly loss: number;
  readonly learningRate: number;
  readonly gradientNorm: number;
  readonly tokensPerSecond: number;
  /** Seconds of training in this stage so far, and estimated to its end. */
  readonly elapsed: number;
  readonly remaining: number;
  /** Resident memory of the process, bytes. */
  readonly memory: number;
}

export interface TrainResult {
  readonly out: string;
  /** False where the signal ended the run early. */
  readonly finished: boolean;
  readonly metric: string;
  /** The best checkpoint of each finished stage. */
  readonly stages: readonly { readonly stage: string; readonly best: Candidate; readonly seconds: number }[];
  /** Highest resident memory of the process, bytes. */
  readonly peakMemory: number;
}

/** Checkpoints between the kept ones, so that little is lost when the machine goes down. */
const minutesBetweenSaves = 10;
/** Kept checkpoints that stay on disk beside the best and the newest. */
const keepLast = 1;
const samplesPerEvaluation = 50;
/** The soft prompt's name among trained tensors; no model has a parameter of this name. */
const promptName = 'prompt';

/**
 * Trains a model on a task. Throws UserError for bad input before anything is written.
 * @example
 * await train({ model: 't5-small', task: 'rte', data: 'data', method: 'promot', out: 'runs/rte', settings: { batchSize: 16 } });
 */
export async function train(request: TrainRequest): Promise<TrainResult> {
  const run = await prepare(request);
  const release = await run.folder.lock();
  try {
    return await run.walk();
  } finally {
    await release();
    run.dispose();
  }
}

/** Everything that a run needs, checked. */
async function prepare(request: TrainRequest): Promise<Run> {
  const { out, resume = false, onEvent = () => {} } = request;
  const before = isRun(out) ? readRun(out) : undefined;
  if (before && !resume) throw new UserError(`${out} already holds a run: go on with --resume, or name another folder`);
  if (!before && existsSync(out) && readdirSync(out).length > 0)
    throw new UserError(`${out} is not empty and not a run: name another folder`);
  const method = findMethod(request.method);
  const { loaded, config, task } = await resolveRun(request);
  if (before) {
    const now = runInfo(request);
    for (const key of ['model', 'task', 'method'] as const)
      if (before[key] !== now[key])
        throw new UserError(`${out} is a run of ${key} ${before[key]}, not ${now[key]}: resume it as it began`);
    if (JSON.stringify(before.config) !== JSON.stringify(config))
      throw new UserError(
        `${out} began with other settings (see its config.yaml): resume it with the same, or name another folder`,
      );
  }
  const training = await task.load('train');
  const validation = await task.load('validation');
  if (training.length === 0 || validation.length === 0)
    throw new UserError(`task ${task.name}: the training and the validation split must not be empty`);
  const limited = config.validationLimit > 0 ? validation.slice(0, config.validationLimit) : validation;
  const withExemplars = fewShotPrompts({
    train: training,
    shots: config.shots,
    seed: config.seed,
    maxInputTokens: task.maxInputTokens,
    countTokens: (text) => loaded.tokenizer.encode(text).length,
  });
  const validated = limited.map((example) => ({ ...example, input: withExemplars(example).text }));
  const adapter = makeAdapter(method, config, loaded, task);
  for (const stage of method.stages) makeOptimizer(new Map(), config[stage.settings]);
  const info = runInfo(request);
  const folder = before ? new RunFolder(out) : await RunFolder.create(out, info, config);
  onEvent({ type: 'start', config, trainExamples: training.length, validationExamples: limited.length });
  return new Run(folder, loaded, task, method.stages, config, training, validated, adapter, request);
}

/** What is written into the run folder of a request. Local paths become absolute: the run can be used from anywhere. */
function runInfo({ method, model, task, data }: TrainRequest): RunInfo {
  const place = (text: string) => (existsSync(text) ? resolve(text) : text);
  return { method, model: place(model), task: place(task), data: data === undefined ? undefined : place(data) };
}

/** What a method adds to the model: a soft prompt, or LoRA (attached to the model from now on), at its start. */
interface Adapter {
  readonly prompt?: Tensor;
  readonly lora?: Lora;
}

function makeAdapter({ adapter }: Method, config: TrainingConfig, loaded: LoadedModel, task: Task): Adapter {
  const { seed, promptInit, promptLength, loraRank } = config;
  if (adapter === 'prompt')
    return { prompt: initPrompt(promptInit, promptLength, { ...loaded, labels: task.labels, seed }) };
  return adapter === 'lora' ? { lora: attachLora(loaded.model, loraRank, seed) } : {};
}

/** The model, the task and the resolved settings of a request; shared with the dry run. */
export async function resolveRun(
  request: TrainRequest,
): Promise<{ loaded: LoadedModel; config: TrainingConfig; task: Task }> {
  const onWarning = (text: string) => request.onEvent?.({ type: 'note', text });
  const task = await loadTask(request.task, { data: request.data, onWarning });
  const { avx512Bf16, amxBf16, armBf16 } = await cpuFeatures();
  const bf16 = avx512Bf16 || amxBf16 || armBf16;
  // The kind of model sets some defaults, the settings set the type of its weights: read the settings twice.
  const given = request.settings ?? {};
  const { precision } = resolveConfig(defaultConfig('encoder-decoder', bf16), given);
  const loaded = await openModel(request.model, precision === 'bf16' ? 'bfloat16' : 'float32');
  const defaults = resolveConfig(defaultConfig(loaded.model.kind, bf16), findMethod(request.method).defaults ?? {});
  return { loaded, config: resolveConfig(defaults, given), task };
}

function makeOptimizer(
  trained: Parameters,
  { optimizer, firstStep, weightDecay }: StageConfig,
  prompt = false,
): Optimizer {
  switch (optimizer) {
    case 'adafactor':
      if (weightDecay > 0) throw new UserError('weightDecay needs the optimizer adamw or sgd; Adafactor has none');
      // Prompts: unfactored and not scaled by the parameter's size (prompt-tuning's settings); models: T5's.
      return new Adafactor(trained, prompt ? { factored: false, scaleByParameter: false, firstStep } : { firstStep });
    case 'adamw':
      return new AdamW(trained, { weightDecay });
    case 'sgd':
      return new Sgd(trained, { weightDecay });
  }
}

class Run {
  readonly #tokenized: (TokenizedExample | undefined)[] = [];

  constructor(
    readonly folder: RunFolder,
    readonly loaded: LoadedModel,
    readonly task: Task,
    readonly stages: readonly Stage[],
    readonly config: TrainingConfig,
    readonly training: readonly Example[],
    readonly validation: readonly Example[],
    readonly adapter: Adapter,
    readonly request: TrainRequest,
  ) {}

  /** All stages in turn; what is done already is not done again. */
  async walk(): Promise<TrainResult> {
    const done: { stage: string; best: Candidate; seconds: number }[] = [];
    let finished = true;
    await this.#rewindMetrics();
    for (const stage of this.stages) {
      const state = await this.#runStage(stage);
      if (state.step < this.config[stage.settings].steps || !state.candidates.some((c) => c.step === state.step)) {
        finished = false;
        break;
      }
      const best = bestOf(state.candidates);
      await this.#handOver(stage, best);
      done.push({ stage: stage.name, best, seconds: state.seconds });
      this.#tell({ type: 'best', stage: stage.name, step: best.step, score: best.score });
    }
    return {
      out: this.folder.path,
      finished,
      metric: this.task.metric,
      stages: done,
      peakMemory: process.resourceUsage().maxRSS * 1024,
    };
  }

  /** Takes back the lines of steps and evaluations that no checkpoint knows of: they are made anew. */
  async #rewindMetrics(): Promise<void> {
    const states = new Map(this.stages.map(({ name }) => [name as string, this.folder.newestState(name)]));
    await this.folder.rewindMetrics((line) => {
      const state = states.get(line.stage);
      if (!state || line.step > state.step) return false;
      return !('evalLoss' in line) || state.candidates.some((c) => c.step === line.step);
    });
  }

  dispose(): void {
    this.adapter.prompt?.dispose();
    this.adapter.lora?.detach();
    for (const parameter of this.loaded.model.parameters.values()) parameter.dispose();
  }

  /** Trains a stage to its end or until the signal; returns where it stands. Fresh optimizer state at its first step. */
  async #runStage(stage: Stage): Promise<StageState> {
    const { signal } = this.request;
    const settings = this.config[stage.settings];
    // The model's stage draws the same batches and masks whether a prompt stage came before it or not.
    const place = stage.trains.includes('model') ? 1 : 0;
    const trained = this.#trainedBy(stage);
    const optimizer = makeOptimizer(trained, settings, !stage.trains.includes('model'));
    let state: StageState = this.folder.newestState(stage.name) ?? {
      stage: stage.name,
      step: 0,
      candidates: [],
      seconds: 0,
    };
    if (state.step > 0) {
      this.folder.restore(state, trained, optimizer);
    }
    const parameters = [...trained.values()].reduce((n, t) => n + t.numel, 0);
    this.#tell({
      type: 'stage',
      stage: stage.name,
      step: state.step,
      steps: settings.steps,
      trainedParameters: parameters,
    });

    const order = new ExampleOrder(this.training.length, this.config.batchSize, this.config.seed, place);
    const save = async () => {
      await this.folder.saveCheckpoint(state, trained, optimizer.state());
      await this.folder.prune(state, keepLast);
    };
    /** A kept checkpoint is saved first and evaluated then, so that a run killed meanwhile evaluates it when it resumes. */
    const evaluateIfDue = async () => {
      const due = state.step > 0 && (state.step % settings.keepEvery === 0 || state.step === settings.steps);
      if (!due || state.candidates.some((c) => c.step === state.step)) return;
      const candidate = await this.#evaluate(stage.name, state.step);
      state = { ...state, candidates: [...state.candidates, candidate] };
      await save();
    };
    let lastSave = performance.now();
    try {
      await evaluateIfDue();
      await trainLoop({
        model: this.loaded.model,
        trained,
        optimizer,
        batch: (step) =>
          toMicroBatches(
            order.at(step).map((place) => this.#example(place)),
            this.config.microBatchSize,
            this.adapter.prompt,
          ),
        learningRate: (step) => learningRateAt(step, settings),
        steps: settings.steps,
        loss: this.config,
        dropout: this.config.dropout,
        seed: deriveSeed(this.config.seed, place),
        gradientClip: settings.gradientClip,
        afterStep: async ({ step, loss, learningRate, gradientNorm, tokens, seconds }) => {
          state = { ...state, step, seconds: state.seconds + seconds };
          const line: MetricsLine = {
            stage: stage.name,
            step,
            loss,
            learningRate,
            gradientNorm,
            tokensPerSecond: tokens / seconds,
            elapsed: state.seconds,
            remaining: (state.seconds / step) * (settings.steps - step),
            memory: process.memoryUsage.rss(),
          };
          this.folder.appendMetrics(line);
          this.#tell({ type: 'step', steps: settings.steps, ...line });
          // Timers, signals and the caller's own work run here. A Ctrl-C is heard now, before the question whether to save.
          await setImmediate();
          const due = step % settings.keepEvery === 0 || step === settings.steps;
          if (due || signal?.aborted || performance.now() - lastSave > minutesBetweenSaves * 60_000) {
            await save();
            lastSave = performance.now();
          }
          if (due && !signal?.aborted) await evaluateIfDue();
          return !signal?.aborted;
        },
      });
    } catch (error) {
      // An evaluation that the signal cut short is done anew when the run resumes.
      if (!signal?.aborted) throw error;
    } finally {
      optimizer.dispose();
    }
    return state;
  }

  /** The tensors that a stage moves, by name. */
  #trainedBy({ trains }: Stage): Parameters {
    const { prompt, lora } = this.adapter;
    return new Map([
      ...(trains.includes('prompt') ? ([[promptName, prompt!]] as const) : []),
      ...(trains.includes('lora') ? lora!.parameters : []),
      ...(trains.includes('model') ? this.loaded.model.parameters : []),
    ]);
  }

  /** The best checkpoint's weights become the stage's result: an adapter folder, a model folder, or both. */
  async #handOver(stage: Stage, best: Candidate): Promise<void> {
    this.folder.loadTrained(stage.name, best.step, this.#trainedBy(stage));
    const { prompt, lora } = this.adapter;
    // An adapter that this stage did not train is part of the result, too: the task is asked with it.
    if (prompt) await writePromptAdapter(this.folder.promptPath, prompt, this.loaded.model, this.request.model);
    if (lora) await writeLoraAdapter(this.folder.loraPath, lora, this.request.model);
    const last = stage === this.stages.at(-1);
    // LoRA that is the whole of the training belongs into the weights.
    if (last && stage.trains.includes('lora')) lora!.merge();
    if (stage.trains.includes('model') || (last && lora)) await saveModel(this.folder.modelPath, this.loaded);
  }

  async #evaluate(stage: string, step: number): Promise<Candidate> {
    const { beams, maxInputLength } = this.config;
    const options = { prompt: this.adapter.prompt, beams, maxInputLength, signal: this.request.signal };
    const evaluation = await evaluateExamples(this.loaded, this.task, this.validation, {
      ...options,
      onProgress: (done, total) => this.#tell({ type: 'evaluating', stage, step, done, total }),
    });
    const evalLoss = await targetLoss(this.loaded, this.validation, options);
    this.folder.appendMetrics({ stage, step, evalLoss, [evaluation.metric]: evaluation.score });
    await this.folder.writeSamples(stage, step, evaluation.samples.slice(0, samplesPerEvaluation));
    this.#tell({ type: 'evaluation', stage, step, metric: evaluation.metric, score: evaluation.score, evalLoss });
    return { step, score: evaluation.score, evalLoss };
  }

  /** A training example; with `shots`, one exemplar in front, drawn anew in every epoch and never the example itself. */
  #example({ index, epoch }: { index: number; epoch: number }): TokenizedExample {
    const { seed, shots, maxInputLength } = this.config;
    const tokenize = (example: Pick<Example, 'input' | 'target'>) =>
      tokenizeExample(example, this.loaded.tokenizer, this.loaded.model.kind, maxInputLength);
    const example = this.#shortened(index);
    if (shots === 1) {
      const exemplar = trainingExemplar(this.training, index, seed, epoch);
      const shortened = this.#shortened(this.training.indexOf(exemplar));
      return tokenize({ ...example, input: joinExemplars([shortened], example.input) });
    }
    this.#tokenized[index] ??= tokenize(example);
    return this.#tokenized[index];
  }

  /** An example with its article cut where the task says so (summaries: 1,024 tokens). */
  #shortened(index: number): Example {
    const example = this.training[index]!;
    const limit = this.task.maxInputTokens;
    if (limit === undefined) return example;
    return { ...example, input: cutInput(example, limit, (text) => this.loaded.tokenizer.encode(text).length) };
  }

  #tell(event: TrainEvent): void {
    this.request.onEvent?.(event);
  }
}

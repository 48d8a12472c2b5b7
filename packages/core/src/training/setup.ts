// Everything that a run needs, loaded and checked before anything is written; the dry run looks at the same.
import { allFinite, deriveSeed, distributed, noGrad, scope, type Tensor, takeMemory, withDevice } from '@promot/torch';
import { attachLora, type Lora } from '../adapters/lora.js';
import { initPrompt } from '../adapters/soft-prompt.js';
import { UserError } from '../base/errors.js';
import { evaluationExamples } from '../evaluation/evaluate-loaded.js';
import { candidatesOf } from '../generation/generate.js';
import { findMethod, type Method, stageNames, uses } from '../methods/index.js';
import { type ConfigInput, overlay, overlayStages, parseSettings } from '../methods/settings.js';
import { addTokens } from '../models/add-tokens.js';
import { fits, renderChats, withChatTemplate } from '../models/chat.js';
import { multipliesBf16 } from '../models/device.js';
import type { LoadedModel } from '../models/load.js';
import type { LanguageModel } from '../models/model.js';
import { tokenizeExample } from '../models/tokenize.js';
import { locateModel } from '../open/locate.js';
import { openModel } from '../open/open.js';
import { hasPaperSettings, loadTask } from '../tasks/registry.js';
import type { Example, Task } from '../tasks/task.js';
import { paperConfig, resolveConfig, type TrainingConfig } from './config.js';
import { dataNotes } from './data-notes.js';
import { TrainingExamples } from './examples.js';
import { objectives } from './objectives/index.js';
import { makeOptimizer } from './optimizers.js';
import { type Phase, phasesOf, type RunTask } from './phases.js';
import { ownConfig, settle } from './presets.js';
import { embeddingSize } from './rates.js';
import type { TrainRequest } from './request.js';
import { type RunBefore, resumedConfig } from './resume.js';
import { Shards } from './shards.js';

export interface RunSetup {
  readonly method: Method;
  readonly loaded: LoadedModel;
  readonly config: TrainingConfig;
  readonly tasks: readonly RunTask[];
  readonly replayTasks: readonly Task[];
  readonly keepTasks: readonly Task[];
  readonly phases: readonly Phase[];
  /** LoRA that can be taken off again, in place of a soft prompt; attached to the model. */
  readonly lora?: Lora;
  /** The pretrained model, where the tuned one is held to it (`kl`). */
  readonly base?: LoadedModel;
  /** Where the model or the optimizer is divided over the ranks. */
  readonly shards?: Shards | undefined;
}

/**
 * Loads and checks it all. `before`: the run to be gone on with, whose settings are the defaults. `onLocated` is called
 * when the model's files are there and before they are read. Errors: a UserError for a model, method, task, data or
 * setting at fault.
 */
export async function setUp(
  request: TrainRequest,
  before?: RunBefore,
  onLocated: () => void = () => {},
): Promise<RunSetup> {
  const method = findMethod(request.method);
  const load = taskLoader(request);
  const tasks = await load([request.task].flat(), 'the run');
  if (tasks.length === 0) throw new UserError('the run has no task');
  const sizes: number[] = [];
  for (const task of tasks) sizes.push((await task.load('train')).length);
  const data = {
    examples: sizes.reduce((sum, size) => sum + size, 0),
    paper: [request.task].flat().every(hasPaperSettings),
  };
  const { loaded: opened, config } = await openForTraining(request, method, data, before, onLocated);
  const { unread } = opened.model.blocks;
  const { trains, settings } = method.stages[0]!;
  const isTrained = trains.includes('model') && config.stages[settings]!.loraRank === 0;
  // Of the gradients; that of a table is made twice, by the ids and by the output layer.
  const gradients = [...opened.model.parameters.values(), opened.model.embedding];
  if (isTrained && !unread) withDevice(opened.model.embedding.device, () => takeMemory(gradients));
  // The template that the conversations were read with goes with the model that learned them.
  const template = (await tasks[0]!.load('train'))[0]?.conversation?.template;
  const own = template === undefined ? opened : { ...opened, kept: withChatTemplate(opened.kept, template) };
  const loaded = config.addTokens.length > 0 ? await withNewTokens(own, config, { method, tasks, request }) : own;
  const runTasks: RunTask[] = [];
  try {
    checkTogether(config, method);
    if (config.shots > 0 && tasks.some(({ conversation }) => conversation))
      throw new UserError('setting shots: conversations have no exemplars in front');
    candidatesOf(loaded.model, config.beams);
    const replayTasks = await load(config.replay.tasks, 'replay.tasks');
    const keepTasks = await load(config.keep.tasks, 'keep.tasks');
    for (const task of keepTasks) await checkKeepTask(task, config);

    // The first task's seed is the run's own: a run of one task does not change by another's coming.
    const seeds = [...tasks, ...replayTasks].map((_, i) => (i === 0 ? config.seed : deriveSeed(config.seed, i)));
    // Some token may have no row in the model: said now, not in the midst of training.
    const { vocabularySize: rows } = loaded.model.shape;
    const mayLackRow = ({ input, target, chat }: Example) =>
      loaded.tokenizer.vocabularySize > rows &&
      (chat !== undefined || [input, target].some((text) => loaded.tokenizer.mayReach?.(text, rows) ?? true));
    const read = async (task: Task, split: 'train' | 'validation', limit = 0) => {
      const all = await task.load(split);
      const name = split === 'train' ? 'training' : split;
      if (all.length === 0) throw new UserError(`task ${task.name}: its ${name} split is empty`);
      const first = all.slice(0, limit || all.length);
      return withinLength(renderChats(first, loaded), `task ${task.name}, ${name} split`, loaded, config, request);
    };
    const examplesOf = async (task: Task, seed: number) => {
      const training = await read(task, 'train');
      const examples = new TrainingExamples(task, training, { loaded, seed, maxInputLength: config.maxInputLength });
      for (const [i, example] of training.entries()) if (mayLackRow(example)) examples.tokens(i, 0, 0);
      return examples;
    };
    const { promptInit, promptLength, validationLimit } = config;
    for (const [i, task] of tasks.entries()) {
      const examples = await examplesOf(task, seeds[i]!);
      const validation = await read(task, 'validation', validationLimit);
      for (const example of validation)
        if (mayLackRow(example)) tokenizeExample(example, loaded.tokenizer, loaded.model.kind);
      for (const text of dataNotes(task, examples.examples, validation, loaded))
        request.onEvent?.({ type: 'note', text });
      const start = { ...loaded, labels: task.labels, seed: seeds[i]! };
      runTasks.push({
        task,
        examples,
        validation,
        prompt: uses(method, 'prompt') ? initPrompt(promptInit, promptLength, start) : undefined,
      });
    }
    const replay: TrainingExamples[] = [];
    for (const [i, task] of replayTasks.entries()) replay.push(await examplesOf(task, seeds[tasks.length + i]!));

    const weightsHold = `${request.model}: the weights hold`;
    // What is not read yet is checked when it is.
    if (!loaded.model.blocks.unread) checkNumbers(loaded.model.parameters.values(), weightsHold);
    const prompts = runTasks.flatMap(({ prompt }) => prompt ?? []);
    checkNumbers(prompts, 'promptInit: the prompt holds');
    for (const { trains, settings } of method.stages) {
      if (trains.includes('prompt')) warnOfLargeSteps(loaded, settings, config, request);
      if (config.stages[settings]!.lowerRate && (config.keep.tasks.length === 0 || !trains.includes('model')))
        throw new UserError(
          trains.includes('model')
            ? `setting ${settings}.learningRate: auto needs keep.tasks, whose warnings lower the rate`
            : `setting ${settings}.learningRate: auto is for stages that train the model`,
        );
      if (config.stages[settings]!.loraRank > 0 && !trains.includes('model'))
        throw new UserError(`setting ${settings}.loraRank: ${method.name} does not train the model in this stage`);
    }
    const phases = phasesOf(method, config, loaded, runTasks, replay);
    for (const { stage } of phases) makeOptimizer(new Map(), config.stages[stage.settings]!);
    const base = config.kl.weight > 0 ? await openAs(loaded, request, isDivided(config.shard)) : undefined;
    const lora = uses(method, 'lora') ? attachLora(loaded.model, config.loraRank, config.seed) : undefined;
    // The last of all: what is above reads the model.
    const shards = makeShards(loaded.model, config.shard);
    if (shards?.part === 'all') {
      checkNumbers(shards.piecesOf(loaded.model.parameters).values(), weightsHold);
      if (base) new Shards(base.model, 'all', shards);
    }
    return { method, loaded, config, tasks: runTasks, replayTasks, keepTasks, phases, lora, base, shards };
  } catch (error) {
    tearDown({ tasks: runTasks, loaded });
    throw error;
  }
}

/** Frees the model and all that was added to it. */
export function tearDown({
  tasks,
  lora,
  loaded,
  base,
  shards,
}: Pick<RunSetup, 'tasks' | 'lora' | 'loaded' | 'base' | 'shards'>): void {
  shards?.dispose();
  for (const { prompt } of tasks) prompt?.dispose();
  lora?.detach();
  loaded.dispose();
  base?.dispose();
}

/** The request's model once more, where and in which numbers it is loaded. */
function openAs({ model }: LoadedModel, request: TrainRequest, unread: boolean): Promise<LoadedModel> {
  const { dtype, device } = model.embedding;
  return openModel(request.model, dtype, { device: device.startsWith('cuda') ? 'cuda' : 'cpu', unread });
}

/** Loads lists of tasks. Each warning is told once. */
function taskLoader({
  data,
  loadedTasks,
  onEvent,
}: TrainRequest): (names: readonly string[], where: string) => Promise<Task[]> {
  const warned = new Set<string>();
  const onWarning = (text: string) => {
    if (!warned.has(text)) onEvent?.({ type: 'note', text });
    warned.add(text);
  };
  return async (names, where) => {
    const tasks: Task[] = [];
    for (const name of names) {
      const task = loadedTasks?.get(name) ?? (await loadTask(name, { data, onWarning }));
      if (tasks.some((other) => other.name === task.name))
        throw new UserError(`${where}: task ${task.name} is named twice`);
      tasks.push(task);
    }
    return tasks;
  };
}

/** What the defaults must know of the tasks: their training examples, and whether all have the paper's settings. */
interface DataFacts {
  readonly examples: number;
  readonly paper: boolean;
}

async function openForTraining(
  { model, settings: given = {}, onEvent }: TrainRequest,
  method: Method,
  { examples, paper: isPaper }: DataFacts,
  before: RunBefore | undefined,
  onLocated: () => void,
): Promise<{ loaded: LoadedModel; config: TrainingConfig }> {
  const names = stageNames(method);
  const parsed = parseSettings(given, names);
  const stored = before && (parseSettings(before.config as ConfigInput, names) as Partial<TrainingConfig>);
  const known = { ...stored, ...(parsed as Partial<TrainingConfig>) };
  const { device, precision: wanted, loss, preset, shard = false, addTokens = [] } = known;
  const bf16 = await multipliesBf16(device);
  const precision = wanted ?? (bf16 ? 'bf16' : 'fp32');
  const wants = objectives.get(loss ?? 'cross-entropy').defaults ?? {};
  for (const { objective } of method.stages) if (objective !== undefined) objectives.get(objective);
  // Each rank reads its part of a model that is to be divided. New tokens need the whole tables first.
  const unread = isDivided(shard) && addTokens.length === 0;
  const hub = onEvent ? { onEvent } : {};
  await locateModel(model, hub);
  onLocated();
  const loaded = await openModel(model, precision === 'bf16' ? 'bfloat16' : 'float32', { device, unread, hub });
  try {
    const paper = paperConfig(loaded.model.kind, bf16, method);
    if (stored) return { loaded, config: resumedConfig(overlay(paper, stored), parsed, examples, before.out) };
    const isOwn = (preset ?? (isPaper ? 'paper' : 'own')) === 'own';
    const start = isOwn ? ownConfig(paper, { method, model: loaded.model, examples }) : paper;
    const defaults = resolveConfig(resolveConfig(start, method.defaults ?? {}), wants);
    const explicit = overlayStages(parseSettings(method.defaults ?? {}, names), parsed);
    return { loaded, config: settle(overlay(defaults, parsed), explicit, examples) };
  } catch (error) {
    loaded.dispose();
    throw error;
  }
}

/** At most this many texts of a task are read for the neighbours of new tokens. */
const textsRead = 5000;

/** The model with `addTokens`. Errors: a UserError for tokens that cannot be added, or would not be trained. */
async function withNewTokens(
  loaded: LoadedModel,
  { addTokens: tokens, kl, stages }: TrainingConfig,
  { method, tasks, request }: { method: Method; tasks: readonly Task[]; request: TrainRequest },
): Promise<LoadedModel> {
  try {
    const trains = method.stages.some((stage) => stage.trains.includes('model') && !stages[stage.settings]!.loraRank);
    if (!trains) throw new UserError(`setting addTokens: ${method.name} does not train the model's rows here`);
    if (kl.weight > 0) throw new UserError('setting addTokens: not together with kl.weight: the base model lacks them');
    const texts: string[] = [];
    for (const task of tasks)
      for (const { input, target } of (await task.load('train')).slice(0, textsRead)) texts.push(input, target);
    const { loaded: grown, added } = addTokens(loaded, tokens, texts);
    const said = added.map(({ token, neighbours }) =>
      neighbours > 0 ? JSON.stringify(token) : `${JSON.stringify(token)} (in no training text)`,
    );
    request.onEvent?.({
      type: 'note',
      text: `new tokens: ${said.join(', ')}; the model now has ${grown.model.shape.vocabularySize} rows`,
    });
    return grown;
  } catch (error) {
    loaded.dispose();
    throw error;
  }
}

/** Whether a setting divides the model itself. */
function isDivided(shard: TrainingConfig['shard']): boolean {
  return shard === true && distributed.getWorldSize() > 1;
}

function makeShards(model: LanguageModel, shard: TrainingConfig['shard']): Shards | undefined {
  if (shard === false || distributed.getWorldSize() === 1) return undefined;
  return new Shards(model, shard === true ? 'all' : 'optimizer');
}

/** Weights that a broken run left: no training mends them. */
function checkNumbers(tensors: Iterable<Tensor>, what: string): void {
  if (!noGrad(() => scope(() => allFinite([...tensors]))))
    throw new UserError(`${what} numbers that are not finite (NaN or infinity)`);
}

/**
 * Adafactor and AdamW move each number of the prompt by about the learning rate in a step. The paper's rates are made
 * for T5 and PaLM, whose embeddings are of size 1 and more; SmolLM2's are of 0.14, and its loss rises at a rate of 0.3.
 * The lab's are of 0.99 and learn well at 1.
 */
function warnOfLargeSteps(
  { model }: LoadedModel,
  settings: string,
  { stages }: TrainingConfig,
  { onEvent }: TrainRequest,
): void {
  const { learningRate } = stages[settings]!;
  const size = embeddingSize(model);
  if (learningRate <= 1.5 * size) return;
  onEvent?.({
    type: 'note',
    text:
      `${settings}.learningRate ${learningRate} is large beside the model's embeddings (root mean square ` +
      `${size.toPrecision(2)}): the prompt may run away; try ${(size / 5).toPrecision(1)}`,
  });
}

/**
 * Examples without the conversations that are longer than `maxInputLength`, which is told: none is cut. Errors: a
 * UserError where none is left.
 */
function withinLength(
  examples: readonly Example[],
  where: string,
  { tokenizer }: LoadedModel,
  { maxInputLength }: TrainingConfig,
  { onEvent }: TrainRequest,
): readonly Example[] {
  const kept = examples.filter((example) => fits(example, tokenizer, maxInputLength));
  const lost = examples.length - kept.length;
  if (lost === 0) return examples;
  const some = `${lost} of ${examples.length} conversations`;
  const text = `${where}: ${some} have more than ${maxInputLength} tokens (maxInputLength)`;
  if (kept.length === 0) throw new UserError(`${text}: none is left`);
  onEvent?.({ type: 'note', text: `${text}; they are left out` });
  return kept;
}

/** Settings that only make sense together. */
function checkTogether({ replay, keep, kl }: TrainingConfig, method: Method): void {
  if (replay.share > 0 && replay.tasks.length === 0)
    throw new UserError('setting replay.share: replay.tasks names no task to take the examples from');
  if (replay.share === 0 && replay.tasks.length > 0)
    throw new UserError(
      'setting replay.tasks: replay.share is 0; set the share of each batch, such as replay.share=0.1',
    );
  if (keep.tolerance !== null && keep.tasks.length === 0)
    throw new UserError('setting keep.tolerance: keep.tasks names no task to keep');
  if (kl.weight > 0 && !method.stages.some(({ trains }) => trains.includes('model')))
    throw new UserError(`setting kl.weight: ${method.name} does not train the model`);
  if (kl.prompt && kl.weight === 0)
    throw new UserError('setting kl.prompt: kl.weight is 0; set the weight of the penalty, such as kl.weight=0.1');
}

async function checkKeepTask(task: Task, { keep: { shots, limit } }: TrainingConfig): Promise<void> {
  await evaluationExamples(task, { limit: limit || undefined });
  if (shots > 0 && task.conversation)
    throw new UserError(`task ${task.name}: conversations have no exemplars in front; set keep.shots=0`);
  const there = shots > 0 ? (await task.load('train')).length : shots;
  if (there < shots)
    throw new UserError(`task ${task.name}: keep.shots=${shots} needs as many training examples; there are ${there}`);
}

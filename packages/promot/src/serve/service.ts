// What a served model answers: texts without the soft prompt, records of its tasks with it. Knows no HTTP.
import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { isRun, readRun } from '@promot/core/artifacts';
import { UserError } from '@promot/core/base';
import type { DataRecord } from '@promot/core/data';
import { maxNewTokens, stopStrings } from '@promot/core/evaluation';
import { generate, generateTurn } from '@promot/core/generation';
import { type DeviceSetting, type LoadedModel, tokenizeInput } from '@promot/core/models';
import { isTaskOfRun, openModel, openPrompt, taskBeside } from '@promot/core/open';
import { type Conversation, loadTask, type Task } from '@promot/core/tasks';
import type { Tensor } from '@promot/torch';

export interface ServiceOptions {
  readonly model: string;
  /** Names or files of the tasks to answer. Default: those of the run. */
  readonly tasks?: readonly string[];
  readonly precision?: 'fp32' | 'bf16';
  readonly device?: DeviceSetting;
}

/** How an answer is to be made. */
export interface AnswerOptions {
  readonly maxNewTokens?: number;
  readonly beams?: number;
  readonly stop?: readonly string[];
  readonly signal: AbortSignal;
}

/** A continuation of one text. */
export interface Completion {
  readonly text: string;
  /** False where it was cut at the largest length. */
  readonly finished: boolean;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** The answer to one record. */
export interface TaskAnswer {
  /** What the task's template made of the record. */
  readonly input: string;
  /** As evaluations read it. */
  readonly output: string;
}

interface ServedTask {
  readonly task: Task;
  readonly prompt: Tensor | undefined;
}

/** Of a text that belongs to no task. */
export const usualNewTokens = 128;
/** Inputs of more tokens would take memory that grows with the square of their length. */
export const longestInput = 4096;

export class Service {
  /** What clients call the model. */
  readonly name: string;

  private constructor(
    model: string,
    readonly loaded: LoadedModel,
    readonly tasks: ReadonlyMap<string, ServedTask>,
  ) {
    // A hub's or built-in name stays whole; of a path the last part is the name.
    this.name = existsSync(model) ? basename(resolve(model)) : model;
  }

  /**
   * Loads the model and the soft prompt of each task. Errors: a UserError for a model, task or prompt at fault, and for a
   * run whose adapter cannot be taken off between two requests (LoRA).
   */
  static async open({ model, tasks: names, precision, device }: ServiceOptions): Promise<Service> {
    const run = existsSync(model) && isRun(model) ? readRun(model) : undefined;
    if (run?.method === 'lora-first')
      throw new UserError(
        `${model}: LoRA cannot be taken off between two requests; merge it (promot merge) and serve that`,
      );
    const wanted = names ?? (existsSync(join(model, 'task.yaml')) ? [join(model, 'task.yaml')] : (run?.tasks ?? []));
    const loaded = await openModel(model, precision === 'bf16' ? 'bfloat16' : 'float32', { device });
    const tasks = new Map<string, ServedTask>();
    try {
      for (const name of wanted) {
        const path = await taskBeside(model, name);
        const task = await loadTask(path, { templatesOnly: true });
        if (tasks.has(task.name)) throw new UserError(`task ${task.name} is named twice`);
        if (task.choices) throw new UserError(`task ${task.name} ranks choices; promot serve answers with text`);
        const folder = (await isTaskOfRun(model, path)) ? promptFolder(model, task.name) : undefined;
        tasks.set(task.name, { task, prompt: folder === undefined ? undefined : openPrompt(folder, loaded.model) });
      }
      return new Service(model, loaded, tasks);
    } catch (error) {
      for (const { prompt } of tasks.values()) prompt?.dispose();
      loaded.dispose();
      throw error;
    }
  }

  /** Whether a task's inputs stand behind a soft prompt. */
  hasPrompt(task: string): boolean {
    return this.tasks.get(task)?.prompt !== undefined;
  }

  /** Continues texts as they are, without a soft prompt. Errors: a UserError for a text that is too long. */
  async complete(texts: readonly string[], options: AnswerOptions): Promise<Completion[]> {
    return this.#generate(texts, undefined, options);
  }

  /**
   * Answers records by a task, behind its soft prompt. Errors: a UserError for a record that lacks a field, with its
   * number.
   */
  async ask(name: string, records: readonly DataRecord[], options: AnswerOptions): Promise<TaskAnswer[]> {
    const { task, prompt } = this.tasks.get(name)!;
    const inputs = records.map((record, i) => {
      try {
        return task.question ? JSON.stringify(task.question(record).messages) : task.input(record);
      } catch (error) {
        throw error instanceof UserError ? new UserError(`record ${i}: ${error.message}`) : error;
      }
    });
    const { loaded } = this;
    if (task.question)
      return this.#answerTurns(
        records.map((record) => task.question!(record)),
        inputs,
        { ...options, task, prompt },
      );
    const answers = await this.#generate(
      inputs,
      prompt,
      { stop: stopStrings(task, loaded.model.kind, false), maxNewTokens: maxNewTokens(task, loaded, []), ...options },
      task.postprocess !== undefined,
    );
    return answers.map(({ text }, i) => ({ input: inputs[i]!, output: task.postprocess?.(text) ?? text.trim() }));
  }

  /** The assistant's next turn of each conversation. */
  async #answerTurns(
    questions: readonly Conversation[],
    inputs: readonly string[],
    { task, prompt, maxNewTokens: most, beams = 1, stop = [], signal }: AnswerOptions & ServedTask,
  ): Promise<TaskAnswer[]> {
    const { loaded } = this;
    const answers: TaskAnswer[] = [];
    for (const [i, { messages, tools, template }] of questions.entries()) {
      const text = await generateTurn(loaded, messages, {
        ...(tools && { tools }),
        ...(template !== undefined && { template }),
        ...(prompt && { prompt }),
        longestInput,
        maxNewTokens: most ?? maxNewTokens(task, loaded, []),
        beams,
        signal,
        ...(stop.length > 0 && { stop: { strings: stop, decode: (ids) => loaded.tokenizer.decode(ids) } }),
      });
      answers.push({ input: inputs[i]!, output: text.trim() });
    }
    return answers;
  }

  dispose(): void {
    for (const { prompt } of this.tasks.values()) prompt?.dispose();
    this.loaded.dispose();
  }

  async #generate(
    texts: readonly string[],
    prompt: Tensor | undefined,
    { maxNewTokens: most = usualNewTokens, beams = 1, stop = [], signal }: AnswerOptions,
    specialTokens = false,
  ): Promise<Completion[]> {
    const { model, tokenizer } = this.loaded;
    const inputs = texts.map((text) => tokenizeInput(text, tokenizer, model.kind));
    const rows = prompt?.size(0) ?? 0;
    const { positions = Number.POSITIVE_INFINITY } = model.shape;
    const room = Math.min(longestInput, model.kind === 'decoder-only' ? positions - rows - most : positions);
    const long = inputs.findIndex(({ length }) => length > room);
    if (long !== -1)
      throw new UserError(
        `input ${long} has ${inputs[long]!.length} tokens: beside ${most} new ones there is room for ${room}`,
      );
    const decode = (ids: readonly number[]) => tokenizer.decode(ids, { specialTokens });
    const answers = await generate(model, inputs, {
      prompt,
      signal,
      maxNewTokens: most,
      beams,
      ...(stop.length > 0 && { stop: { strings: stop, decode } }),
    });
    return answers.map(({ ids, text, finished }, i) => ({
      text: text ?? decode(ids),
      finished,
      inputTokens: inputs[i]!.length,
      outputTokens: ids.length,
    }));
  }
}

/** The folder of a run's soft prompt for a task; undefined where it has none. */
function promptFolder(run: string, task: string): string | undefined {
  return [join(run, 'prompts', task), join(run, 'prompt')].find((folder) => existsSync(folder));
}

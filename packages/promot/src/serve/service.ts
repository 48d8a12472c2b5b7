// What a served model answers: texts without the soft prompt, records of its tasks with it. Knows no HTTP.
import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { isRun, readRun } from '@promot/core/artifacts';
import { reworded, UserError } from '@promot/core/base';
import type { DataRecord } from '@promot/core/data';
import { maxNewTokens, stopStrings } from '@promot/core/evaluation';
import { type ChatOptions, generate, generateTurn, type SamplingSettings } from '@promot/core/generation';
import { chatTemplate, type DeviceSetting, type LoadedModel, tokenizeInput } from '@promot/core/models';
import { adapterOfTask, openModel, openPrompt, taskBeside } from '@promot/core/open';
import { type Conversation, loadTask, readMessages, type Task } from '@promot/core/tasks';
import type { Tensor } from '@promot/torch';

interface ServiceOptions {
  readonly model: string;
  /** Names or files of the tasks to answer. Default: those of the run. */
  readonly tasks?: readonly string[];
  readonly precision?: 'fp32' | 'bf16';
  readonly device?: DeviceSetting;
}

/** How an answer is to be made. */
export interface AnswerOptions extends SamplingSettings {
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
interface TaskAnswer {
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
const usualNewTokens = 128;
/** Inputs of more tokens would take memory that grows with the square of their length. */
const longestInput = 4096;

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
   * Loads the model and the soft prompt of each task. Errors: a UserError for a model, task or prompt at fault, and for
   * a run whose adapter cannot be taken off between two requests (LoRA).
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
        const folder = await adapterOfTask(model, path);
        tasks.set(task.name, { task, prompt: folder === undefined ? undefined : openPrompt(folder, loaded.model) });
      }
      return new Service(model, loaded, tasks);
    } catch (error) {
      for (const { prompt } of tasks.values()) prompt?.dispose();
      loaded.dispose();
      throw error;
    }
  }

  /** What clients may name as the model: by itself, and behind the soft prompt of each task that has one. */
  get models(): string[] {
    const behind = [...this.tasks].flatMap(([task, { prompt }]) => (prompt ? [`${this.name}:${task}`] : []));
    return [this.name, ...behind];
  }

  /** The soft prompt of one of `models`. */
  #promptOf(model: string): Tensor | undefined {
    return model === this.name ? undefined : this.tasks.get(model.slice(this.name.length + 1))!.prompt;
  }

  /** Continues texts as they are, by one of `models`. Errors: a UserError for a text that is too long. */
  async complete(model: string, texts: readonly string[], options: AnswerOptions): Promise<Completion[]> {
    return this.#generate(texts, this.#promptOf(model), options);
  }

  /**
   * The assistant's next turn, by the model's chat template; `onText` hears of it part by part. Errors: a UserError for
   * a model without a template, what is no turn, turns that the template refuses, a conversation that is too long.
   */
  async chat(
    model: string,
    turns: readonly unknown[],
    { tools, onText, ...how }: AnswerOptions & Pick<ChatOptions, 'tools' | 'onText'>,
  ): Promise<Completion> {
    const { maxNewTokens: most = usualNewTokens, stop = [], ...options } = how;
    const { tokenizer } = this.loaded;
    const messages = readMessages(turns, 'messages');
    const text = chatTemplate(this.loaded, undefined, this.name).render(messages, { tools, generationPrompt: true });
    const inputTokens = tokenizer.encode(text, { specialTokens: false }).length;
    const prompt = this.#promptOf(model);
    this.#checkRoom([inputTokens], prompt, most);
    const decode = (ids: readonly number[]) => tokenizer.decode(ids);
    const answer = await generateTurn(this.loaded, messages, {
      ...options,
      prompt,
      maxNewTokens: most,
      ...(tools && { tools }),
      ...(onText && { onText }),
      ...(stop.length > 0 && { stop: { strings: stop, decode } }),
    });
    const outputTokens = tokenizer.encode(answer, { specialTokens: false }).length;
    return { text: answer, finished: outputTokens < most, inputTokens, outputTokens };
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
        throw reworded(error, (message) => `record ${i}: ${message}`);
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
    { task, prompt, maxNewTokens: most, beams = 1, stop = [], ...how }: AnswerOptions & ServedTask,
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
        ...how,
        beams,
        ...(stop.length > 0 && { stop: { strings: stop, decode: (ids) => loaded.tokenizer.decode(ids) } }),
      });
      answers.push({ input: inputs[i]!, output: text.trim() });
    }
    return answers;
  }

  /** Throws UserError for an input, of so many tokens, that has no room beside the prompt and the new tokens. */
  #checkRoom(lengths: readonly number[], prompt: Tensor | undefined, most: number): void {
    const { kind, shape } = this.loaded.model;
    const { positions = Number.POSITIVE_INFINITY } = shape;
    const room = Math.min(
      longestInput,
      kind === 'decoder-only' ? positions - (prompt?.size(0) ?? 0) - most : positions,
    );
    const long = lengths.findIndex((length) => length > room);
    if (long !== -1)
      throw new UserError(
        `input ${long} has ${lengths[long]} tokens: beside ${most} new ones there is room for ${room}`,
      );
  }

  dispose(): void {
    for (const { prompt } of this.tasks.values()) prompt?.dispose();
    this.loaded.dispose();
  }

  async #generate(
    texts: readonly string[],
    prompt: Tensor | undefined,
    { maxNewTokens: most = usualNewTokens, beams = 1, stop = [], ...how }: AnswerOptions,
    specialTokens = false,
  ): Promise<Completion[]> {
    const { model, tokenizer } = this.loaded;
    const inputs = texts.map((text) => tokenizeInput(text, tokenizer, model.kind));
    this.#checkRoom(
      inputs.map(({ length }) => length),
      prompt,
      most,
    );
    const decode = (ids: readonly number[]) => tokenizer.decode(ids, { specialTokens });
    const answers = await generate(model, inputs, {
      ...how,
      prompt,
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

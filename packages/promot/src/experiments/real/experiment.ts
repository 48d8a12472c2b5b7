// The real experiment: trains every arm on one target, looks at target and kept abilities along the way, and writes a
// line a look. May be stopped or killed at any time and goes on with the same request; several processes may share a
// folder.
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { lockFolder, readJsonLines, UserError, writeText } from '@promot/core/base';
import { evaluateTask } from '@promot/core/evaluation';
import type { LoadedModel } from '@promot/core/models';
import { openModel } from '@promot/core/open';
import { loadTask, type Task } from '@promot/core/tasks';
import { train, type WorkEvent } from '@promot/core/train';
import type { Tensor } from '@promot/torch';
import { type Arm, arms, type Lengths } from './arms.js';
import { type Asked, type Kept, loadAsked, measureKept } from './kept.js';

export interface RealRequest {
  /** A pretrained decoder-only model that was not tuned to follow instructions. */
  readonly model: string;
  /** Folder with the data sets. */
  readonly data: string;
  readonly out: string;
  /** Name of a target: `real-snli`. */
  readonly target: string;
  readonly lengths: Lengths;
  /** Examples of each kept task, and validation examples of the target. */
  readonly limit: number;
  /** Only these arms, with those that they need. */
  readonly only?: readonly string[];
  readonly seed: number;
  readonly precision?: 'fp32' | 'bf16';
  readonly signal?: AbortSignal;
  readonly onLine?: (text: string) => void;
  readonly onEvent?: (arm: string, event: WorkEvent) => void;
}

/** One look at one model. */
export interface Look {
  readonly arm: string;
  readonly method: Arm['method'];
  readonly rate?: number;
  readonly step: number;
  /** Accuracy on the target's validation examples, with the soft prompt where the arm has one. */
  readonly target: number;
  /** The same without the prompt. */
  readonly targetWithoutPrompt?: number;
  readonly kept: Kept;
}

/** Does all arms; false where the signal ended it before, or another process still works on an arm. */
export async function runReal(request: RealRequest): Promise<boolean> {
  const { out, data, signal, onLine } = request;
  await mkdir(out, { recursive: true });
  const task = await loadTask(request.target, { data });
  const asked = await loadAsked(data, request.limit);
  let complete = true;
  for (const arm of wanted(request)) {
    if (existsSync(donePath(out, arm))) continue;
    const folder = join(out, 'jobs', arm.name);
    await mkdir(folder, { recursive: true });
    const release = await lockFolder(folder).catch((error) => {
      if (error instanceof UserError) return undefined;
      throw error;
    });
    if (!release) {
      onLine?.(`${arm.name}: another process works on it`);
      complete = false;
      continue;
    }
    try {
      onLine?.(`${arm.name}: begins`);
      const finished = await (arm.train === undefined
        ? before(arm, task, asked, request)
        : trainArm(arm, task, asked, request));
      if (!finished) return false;
      await writeText(donePath(out, arm), 'done\n');
      onLine?.(`${arm.name}: done`);
    } finally {
      await release();
    }
    if (signal?.aborted) return false;
  }
  return complete;
}

/** The looks that there are, of finished and of unfinished arms. */
export function looksOf({ out, lengths }: Pick<RealRequest, 'out' | 'lengths'>): Look[] {
  return arms(lengths).flatMap((arm) => {
    const file = arm.train === undefined ? join(out, 'before.jsonl') : join(out, 'runs', arm.name, 'metrics.jsonl');
    return readJsonLines(file).flatMap(({ value }) => {
      const line = value as { look?: Omit<Look, 'arm' | 'method' | 'rate' | 'step'>; step?: number };
      if (line.look === undefined) return [];
      return [{ arm: arm.name, method: arm.method, rate: arm.rate, step: line.step ?? 0, ...line.look }];
    });
  });
}

function wanted({ lengths, only }: RealRequest): Arm[] {
  const all = arms(lengths);
  if (!only) return all;
  const unknown = only.find((name) => !all.some((arm) => arm.name === name));
  if (unknown !== undefined)
    throw new UserError(`there is no arm "${unknown}": the arms are ${all.map(({ name }) => name).join(', ')}`);
  const needed = new Set(all.flatMap(({ name, promptOf }) => (only.includes(name) ? [name, promptOf] : [])));
  return all.filter(({ name }) => needed.has(name));
}

const donePath = (out: string, { name }: Arm) => join(out, 'jobs', name, 'done');

async function before(arm: Arm, task: Task, asked: Asked, request: RealRequest): Promise<boolean> {
  const { model, out, precision } = request;
  using loaded = await openModel(model, precision === 'bf16' ? 'bfloat16' : 'float32');
  const look = await lookAt(loaded, undefined, arm, task, asked, request.limit);
  await writeText(join(out, `${arm.name}.jsonl`), `${JSON.stringify({ type: 'look', step: 0, look })}\n`);
  return true;
}

async function trainArm(arm: Arm, task: Task, asked: Asked, request: RealRequest): Promise<boolean> {
  const { model, data, out, seed, precision, signal, onEvent } = request;
  const folder = join(out, 'runs', arm.name);
  const prompt = arm.promptOf === undefined ? {} : { promptInit: join(out, 'runs', arm.promptOf, 'prompt') };
  const settings = { ...arm.settings, ...prompt, seed, ...(precision && { precision }) };
  const { finished } = await train({
    model,
    data,
    settings,
    signal,
    method: arm.train!,
    task: request.target,
    out: folder,
    resume: existsSync(folder),
    onEvent: (event) => onEvent?.(arm.name, event),
    // Step 0 of a stage is the model before training, which has an arm of its own.
    atCheckpoint: async ({ step, loaded, prompt: attached }) =>
      step === 0 || arm.method === 'prompt tuning'
        ? undefined
        : { look: await lookAt(loaded, attached, arm, task, asked, request.limit) },
  });
  return finished;
}

async function lookAt(
  loaded: LoadedModel,
  prompt: Tensor | undefined,
  { method }: Arm,
  task: Task,
  asked: Asked,
  limit: number,
): Promise<Omit<Look, 'arm' | 'method' | 'rate' | 'step'>> {
  const options = { limit: 2 * limit, beams: 1 };
  const { score: target } = await evaluateTask(loaded, task, { ...options, prompt });
  const without = method === 'ProMoT' ? await evaluateTask(loaded, task, options) : undefined;
  const kept = await measureKept(loaded, asked, task.labels ?? []);
  return { target, ...(without && { targetWithoutPrompt: without.score }), kept };
}

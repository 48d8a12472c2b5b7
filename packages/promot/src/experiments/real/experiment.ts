// The real experiment: trains every arm on one target, looks at target and kept abilities along the way, and writes a
// line a look. May be stopped or killed at any time and goes on with the same request; several processes may share a
// folder.
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { lockFolder, makeFolder, readJson, UserError, type WorkEvent, writeText } from '@promot/core/base';
import { evaluateLoaded } from '@promot/core/evaluation';
import { interpolate } from '@promot/core/merging';
import type { LoadedModel } from '@promot/core/models';
import { openModel, openPrompt } from '@promot/core/open';
import { loadTask, type Task } from '@promot/core/tasks';
import { train } from '@promot/core/train';
import { distributed, type Tensor } from '@promot/torch';
import { z } from 'zod';
import { type Arm, armsBefore, chooseArms, mixFactors } from './arms.js';
import { planReal } from './cost.js';
import { type Asked, loadAsked, measureDistance, measureKept } from './kept.js';
import { earlyStopOf, type Look, type LookRecord, looksOfArm, looksPath, recordOf, recordsOf } from './looks.js';
import { armsOf, donePath, isArmDone, type RealRequest } from './request.js';
import { findTarget } from './targets.js';
import { absorbedPath, measureAbsorbed } from './why.js';

/** What all arms of a request work with. */
interface Work {
  readonly request: RealRequest;
  readonly task: Task;
  readonly asked: Asked;
  /** The model before training, to measure distances from: opened when it is first needed, and kept open. */
  readonly base: () => Promise<LoadedModel>;
}

/** Whether this process writes: of ranks that work together the first. */
const isFirst = () => distributed.getRank() === 0;
/** Ranks must not stop at different batches of what they do together. */
const ownSignal = ({ signal }: RealRequest) => (distributed.isInitialized() ? undefined : signal);
const longestMixSeconds = 3600;
/** Waits for all ranks. */
async function meet(): Promise<void> {
  if (distributed.isInitialized()) await distributed.monitoredBarrier(longestMixSeconds);
}

/** Between two questions whether another process is done. */
const waitMilliseconds = 5000;

/**
 * Does all arms; false where the signal ended it before. Waits for arms that another process has. The ranks of a
 * process group do each arm together: rank 0 chooses and claims it, and writes.
 */
export async function runReal(request: RealRequest): Promise<boolean> {
  const { out, data, limit, kept, signal, onEvent } = request;
  const target = findTarget(request.target);
  const all = armsOf(request);
  const chosen = chooseArms(all, request.only);
  if (isFirst()) {
    makeFolder(out);
    await checkSettings(request);
  }
  const task = await loadTask(target.task.name, { data });
  const asked = await loadAsked(data, target, limit, kept);
  let opened: LoadedModel | undefined;
  const base = async () => {
    opened ??= await openAs(request);
    return opened;
  };
  const work: Work = { request, task, asked, base };
  try {
    let left: readonly Arm[] = chosen;
    let isWaiting = false;
    while (true) {
      if ((await distributed.allGatherObject(signal?.aborted ?? false)).includes(true)) return false;
      const claim = isFirst() ? await claimNext(out, left, all) : undefined;
      const { open, next } = await distributed.broadcastObject({ open: claim?.open ?? [], next: claim?.next });
      left = left.filter(({ name }) => open.includes(name));
      if (isFirst()) await dropWeights(out, all);
      if (left.length === 0) return true;
      const arm = left.find(({ name }) => name === next);
      if (!arm) {
        if (!isWaiting)
          onEvent?.({
            type: 'note',
            text: `waits for ${left.length} arms that another process works on (a lock below ${out}/jobs says which)`,
          });
        isWaiting = true;
        await setTimeout(waitMilliseconds, undefined, { signal }).catch(() => {});
        continue;
      }
      try {
        if (!(await doArm(arm, work, { number: chosen.length - left.length + 1, of: chosen.length }))) return false;
      } finally {
        await claim?.release?.();
      }
    }
  } finally {
    opened?.dispose();
  }
}

/** The looks that there are, of finished and of unfinished arms, with those that early stopping would have taken. */
export function looksOf(request: Pick<RealRequest, 'out' | 'target' | 'lengths' | 'promptRate' | 'seeds'>): Look[] {
  const { out } = request;
  return armsOf(request).flatMap((arm) => [...looksOfArm(out, arm), ...earlyStopOf(out, arm)]);
}

/** What looks of one folder have in common; more seeds may come later. */
async function checkSettings({ out, lengths, precision, ...request }: RealRequest): Promise<void> {
  const { model, limit, kept, promptRate, seed } = request;
  const place = existsSync(model) ? resolve(model) : model;
  const { prompt: promptSteps, model: steps, look } = lengths;
  const lasting = { model: place, promptRate, promptSteps, steps, look, limit, kept, seed };
  const now: Record<string, unknown> = { ...lasting, precision };
  const path = join(out, 'settings.json');
  if (!existsSync(path)) return writeText(path, `${JSON.stringify(now, undefined, 2)}\n`);
  const before = readJson(path, z.record(z.string(), z.unknown()));
  const other = Object.keys(now).filter((key) => now[key] !== before[key]);
  if (other.length > 0)
    throw new UserError(
      `${out} began with other settings ` +
        `(${other.map((key) => `${key} was ${before[key]}, not ${now[key]}`).join(', ')}): go on with the same, or ` +
        'name another --out',
    );
}

/** What is not done yet, and of that an arm that was claimed until `release`; none where other processes have all. */
interface Claim {
  readonly open: readonly string[];
  readonly next?: string;
  readonly release?: () => Promise<void>;
}

async function claimNext(out: string, left: readonly Arm[], all: readonly Arm[]): Promise<Claim> {
  const unfinished = left.filter((arm) => !isArmDone(out, arm));
  const open = unfinished.map(({ name }) => name);
  for (const arm of unfinished) {
    if (armsBefore(arm).some((name) => !isArmDone(out, all.find((one) => one.name === name)!))) continue;
    const folder = join(out, 'jobs', arm.name);
    makeFolder(folder);
    const release = await lockFolder(folder).catch((error) => {
      if (error instanceof UserError) return undefined;
      throw error;
    });
    if (!release) continue;
    if (!isArmDone(out, arm)) return { open, next: arm.name, release };
    // It was done between the question and the lock.
    await release();
    return claimNext(out, left, all);
  }
  return { open };
}

/** Whether the arm is done; false where the signal ended it. */
async function doArm(arm: Arm, work: Work, place: { readonly number: number; readonly of: number }): Promise<boolean> {
  const { out, signal, onEvent } = work.request;
  try {
    const started = performance.now();
    onEvent?.({ type: 'job', name: arm.name, ...place });
    if (!(await workOf(arm)(arm, work))) return false;
    if (isFirst()) await writeText(donePath(out, arm), 'done\n');
    const { arms: costs, secondsLeft } = planReal(work.request);
    onEvent?.({
      type: 'job-done',
      name: arm.name,
      seconds: (performance.now() - started) / 1000,
      left: { jobs: costs.filter(({ done }) => !done).length, seconds: secondsLeft },
    });
    return true;
  } catch (error) {
    // What the signal cut short is done anew.
    if (signal?.aborted && !distributed.isInitialized()) return false;
    throw error;
  }
}

function workOf({ train: method, mixOf, absorbs }: Arm): (arm: Arm, work: Work) => Promise<boolean> {
  if (method !== undefined) return trainArm;
  if (absorbs) return absorbed;
  return mixOf === undefined ? before : mix;
}

function openAs({ model, precision }: Pick<RealRequest, 'model' | 'precision'>): Promise<LoadedModel> {
  return openModel(model, precision === 'bf16' ? 'bfloat16' : 'float32');
}

async function before(arm: Arm, work: Work): Promise<boolean> {
  using loaded = await openAs(work.request);
  const look = await lookAt(loaded, undefined, arm, work);
  await writeLooks(work.request.out, arm, [look]);
  return true;
}

async function trainArm(arm: Arm, work: Work): Promise<boolean> {
  const { model, data, out, seed, precision, signal, onEvent } = work.request;
  const folder = runFolder(out, arm.name);
  const prompt = arm.promptOf === undefined ? {} : { promptInit: promptFolder(out, arm.promptOf) };
  const settings = { ...arm.settings, ...prompt, seed: seed + arm.seed, precision };
  const { finished } = await train({
    model,
    data,
    settings,
    signal,
    method: arm.train!,
    task: work.task.name,
    out: folder,
    resume: await distributed.broadcastObject(existsSync(folder)),
    onEvent,
    // Step 0 of a stage is the model before training, which has an arm of its own.
    atCheckpoint: async ({ step, loaded, prompt: attached }) =>
      step === 0 ? undefined : { look: await lookAt(loaded, attached, arm, work) },
  });
  return finished;
}

async function absorbed(arm: Arm, { request, task }: Work): Promise<boolean> {
  const { out, limit } = request;
  using loaded = await openAs(request);
  const prompt = openPrompt(runFolder(out, arm.promptOf!), loaded.model)!;
  try {
    const found = await measureAbsorbed(loaded, task, prompt, { limit, signal: ownSignal(request) });
    if (isFirst()) await writeText(absorbedPath(out, arm.name), `${JSON.stringify(found, undefined, 2)}\n`);
  } finally {
    prompt.dispose();
  }
  return true;
}

/** A look at each mixture of the model before training with what an arm's run made of it (WiSE-FT). */
async function mix(arm: Arm, work: Work): Promise<boolean> {
  const { model, out, precision } = work.request;
  const looks = await distributed.broadcastObject(recordsOf(out, arm).map(({ look }) => look));
  const folder = join(out, 'jobs', arm.name, 'mixed');
  for (const factor of mixFactors.slice(looks.length)) {
    if (isFirst()) {
      // A process that was killed may have left one.
      await rm(folder, { recursive: true, force: true });
      await interpolate({ base: model, tuned: runFolder(out, arm.mixOf!), factor, out: folder });
    }
    await meet();
    try {
      using loaded = await openAs({ model: folder, precision });
      const prompt = arm.promptOf === undefined ? undefined : openPrompt(runFolder(out, arm.promptOf), loaded.model);
      looks.push({ ...(await lookAt(loaded, prompt, arm, work)), factor });
      prompt?.dispose();
      await meet();
    } finally {
      if (isFirst()) await rm(folder, { recursive: true, force: true });
    }
    await writeLooks(out, arm, looks);
  }
  return true;
}

/** Of an arm that trains nothing. */
async function writeLooks(out: string, arm: Arm, looks: readonly LookRecord[]): Promise<void> {
  if (!isFirst()) return;
  const lines = looks.map((look) => `${JSON.stringify({ type: 'look', step: 0, look })}\n`);
  await writeText(looksPath(out, arm), lines.join(''));
}

/**
 * Frees the disk of finished runs: of each stay its metrics and its prompt, and its model where a mixture still needs
 * it.
 */
async function dropWeights(out: string, all: readonly Arm[]): Promise<void> {
  for (const arm of all) {
    if (arm.train === undefined || !isArmDone(out, arm)) continue;
    const folder = runFolder(out, arm.name);
    await rm(join(folder, 'checkpoints'), { recursive: true, force: true });
    const isMixed = all.some((other) => other.mixOf === arm.name);
    if (!isMixed) await rm(join(folder, 'model'), { recursive: true, force: true });
  }
}

const runFolder = (out: string, name: string) => join(out, 'runs', name);
const promptFolder = (out: string, name: string) => join(runFolder(out, name), 'prompt');

async function lookAt(loaded: LoadedModel, prompt: Tensor | undefined, arm: Arm, work: Work): Promise<LookRecord> {
  const { asked, task, request } = work;
  const { limit, kept: size } = request;
  const started = performance.now();
  const told = (what: string) => ({
    onEvent: (event: WorkEvent) => {
      if (event.type === 'evaluating')
        request.onEvent?.({ type: 'progress', what, done: event.done, total: event.total });
    },
  });
  const options = {
    limit: 2 * limit,
    beams: 1,
    shots: arm.shots,
    signal: ownSignal(request),
    ...told(`look: ${task.name}`),
  };
  const { score: target, samples } = await evaluateLoaded(loaded, task, { ...options, prompt });
  const isPromptAlone = arm.train === 'prompt-tune';
  const without =
    prompt && !isPromptAlone ? { targetWithoutPrompt: (await evaluateLoaded(loaded, task, options)).score } : {};
  const base = size === 'all' && arm.method !== 'before' ? await work.base() : undefined;
  const kept = !isPromptAlone
    ? await measureKept(loaded, asked, { base, prompt, onTask: (name) => told(`look: ${name}`) })
    : base
      ? await measureDistance(loaded, asked, base, prompt!)
      : new Map();
  const record = recordOf(
    kept,
    samples.map((one) => one.score),
  );
  return { target, ...without, ...record, seconds: Math.round((performance.now() - started) / 1000) };
}

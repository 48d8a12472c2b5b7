// Does the jobs of an experiment that are not done yet: one after the other, beside any other process that does the
// same.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Observer } from '@promot/core/base';
import { evaluateTasks } from '@promot/core/evaluation';
import { interpolate } from '@promot/core/merging';
import type { DeviceSetting } from '@promot/core/models';
import { tokenizeExample } from '@promot/core/models';
import { loadTask } from '@promot/core/tasks';
import { type TrainRequest, train } from '@promot/core/train';
import { distributed } from '@promot/torch';
import type { ExperimentFolder } from './folder.js';
import { gradientAlignment } from './gradient-alignment.js';
import type { EvaluationJob, Interpolation, Job, RunJob } from './plan.js';

export interface Told {
  /** Hears of each job as it begins and when it is done, and of what happens in it. */
  readonly onEvent?: Observer;
}

interface ExecuteRequest extends Told {
  readonly folder: ExperimentFolder;
  readonly data?: string;
  /** Where evaluations work; runs have it in their settings. Default `auto`. */
  readonly device?: DeviceSetting;
  readonly signal?: AbortSignal;
}

/** Gradients are compared on so many training batches, but not on more examples than suffice. */
const alignmentBatches = 4;
const alignmentExamples = 64;
const secondsBetweenLooks = 2;
const longestMixSeconds = 3600;

/**
 * Does all jobs; false where the signal ended it before. What was begun goes on the next time. A job that another
 * process has is left to it, and waited for at the end, so any number of processes may do the same experiment (or
 * others that share jobs with it) in the same folder, on one machine or on several that share it.
 *
 * The ranks of a process group do each job together: rank 0 chooses and claims it.
 */
export async function execute(jobs: readonly Job[], request: ExecuteRequest): Promise<boolean> {
  const { folder, signal, onEvent } = request;
  const isFirst = distributed.getRank() === 0;
  const left = new Map(jobs.flatMap((job) => (isFirst && folder.finished(job) ? [] : [[job.name, job]])));
  const claims = new Map<string, () => Promise<void>>();
  let pace = { estimated: 0, taken: 0 };
  let waiting = false;
  while (true) {
    const stops = await distributed.allGatherObject(signal?.aborted ?? false);
    if (stops.includes(true)) return false;
    const { left: still, next } = await distributed.broadcastObject(
      isFirst ? await choose(jobs, left, folder, claims) : unknown,
    );
    for (const name of [...left.keys()]) if (!still.includes(name)) left.delete(name);
    if (left.size === 0) return true;
    const job = next === undefined ? undefined : left.get(next);
    if (!job) {
      if (!waiting)
        onEvent?.({
          type: 'note',
          text:
            `waiting for ${left.size} ${left.size === 1 ? 'job' : 'jobs'} of other processes. If none runs, delete ` +
            `the files "lock" below ${folder.path}/jobs`,
        });
      waiting = true;
      await setTimeout(1000 * secondsBetweenLooks, undefined, { signal }).catch(() => {});
      continue;
    }
    waiting = false;
    try {
      const started = performance.now();
      onEvent?.({ type: 'job', name: job.name, number: jobs.length - left.size + 1, of: jobs.length });
      const seconds = await runJob(job, request);
      if (seconds === undefined) return false;
      if (isFirst) await folder.finish(job, { seconds });
      const taken = (performance.now() - started) / 1000;
      pace = { estimated: pace.estimated + job.seconds, taken: pace.taken + taken };
      left.delete(job.name);
      const toCome = [...left.values()].reduce((sum, other) => sum + other.seconds, 0);
      const remaining = toCome * (pace.taken / pace.estimated || 1);
      onEvent?.({ type: 'job-done', name: job.name, seconds, left: { jobs: left.size, seconds: remaining } });
    } finally {
      await claims.get(job.name)?.();
      claims.delete(job.name);
    }
  }
}

interface Choice {
  /** Names of the jobs that are not done yet. */
  readonly left: readonly string[];
  /** The job that was claimed; undefined where other processes have all that could be done now. */
  readonly next?: string;
}
/** What ranks other than 0 say. */
const unknown: Choice = { left: [] };

async function choose(
  jobs: readonly Job[],
  left: ReadonlyMap<string, Job>,
  folder: ExperimentFolder,
  claims: Map<string, () => Promise<void>>,
): Promise<Choice> {
  const open = [...left.values()].filter((job) => !folder.finished(job));
  const names = open.map(({ name }) => name);
  for (const job of open) {
    if (!jobs.every((other) => !job.needs.includes(other.name) || folder.finished(other))) continue;
    const release = await folder.claim(job);
    if (!release) continue;
    // Another process may have finished it between the question and the claim.
    if (folder.finished(job)) await release();
    else {
      claims.set(job.name, release);
      return { left: names, next: job.name };
    }
  }
  return { left: names };
}

/** Seconds that it took, or undefined where the signal ended it. */
async function runJob(job: Job, request: ExecuteRequest): Promise<number | undefined> {
  try {
    if (job.kind === 'run') return await trainJob(job, request);
    const started = performance.now();
    await (job.kind === 'interpolation' ? mixJob(job, request) : evaluationJob(job, request));
    return (performance.now() - started) / 1000;
  } catch (error) {
    if (request.signal?.aborted) return undefined;
    throw error;
  }
}

async function trainJob(job: RunJob, request: ExecuteRequest): Promise<number | undefined> {
  const { folder, data, signal, onEvent } = request;
  const { model, tasks, method, settings } = job;
  const out = folder.of(job);
  const result = await train({
    model,
    task: tasks.length === 1 ? tasks[0]! : tasks,
    method,
    out,
    data,
    settings,
    resume: true,
    signal,
    ...(onEvent && { onEvent }),
    ...(job.alignment && { atCheckpoint: alignmentOf(job, request) }),
  });
  if (!result.finished) return undefined;
  // The results are handed over; what only a resumed run needs can go.
  if (settings.keepCheckpoints !== true && distributed.getRank() === 0)
    await rm(join(out, 'checkpoints'), { recursive: true, force: true });
  return result.stages.reduce((sum, { seconds }) => sum + seconds, 0);
}

/** Measures how far the gradient is the format's, wherever the model itself is trained. */
function alignmentOf({ tasks, settings }: RunJob, { data, signal }: ExecuteRequest): TrainRequest['atCheckpoint'] {
  return async ({ stage, loaded, prompt }) => {
    if (stage !== 'model') return undefined;
    const { model, tokenizer } = loaded;
    const batchSize = (settings.batchSize as number | undefined) ?? alignmentExamples;
    const count = Math.min(alignmentExamples, alignmentBatches * batchSize);
    const examples = (await (await loadTask(tasks[0]!, { data })).load('train')).slice(0, count);
    const tokenized = examples.map((example) => tokenizeExample(example, tokenizer, model.kind));
    return { alignment: await gradientAlignment(loaded, tokenized, { prompt, seed: settings.seed as number, signal }) };
  };
}

async function mixJob(job: Interpolation, { folder, onEvent }: ExecuteRequest): Promise<void> {
  // Nothing to divide: the others wait.
  if (distributed.getRank() !== 0) return distributed.monitoredBarrier(longestMixSeconds);
  const out = folder.of(job);
  // Made whole by a process that was killed before it could say so; it is made again in a moment.
  await rm(out, { recursive: true, force: true });
  await interpolate({
    base: job.model,
    tuned: folder.of({ kind: 'run', name: job.run }),
    factor: job.factor,
    out,
    onEvent,
  });
  if (distributed.isInitialized()) await distributed.monitoredBarrier(longestMixSeconds);
}

async function evaluationJob(job: EvaluationJob, request: ExecuteRequest): Promise<void> {
  const { folder, data, device, signal, onEvent } = request;
  const { tasks, shots, split, limit, beams, maxInputLength, precision } = job;
  await evaluateTasks({
    ...folder.modelOf(job),
    tasks,
    shots,
    split,
    limit,
    beams,
    maxInputLength,
    precision,
    device,
    data,
    // Ranks must not stop at different batches of what they do together.
    signal: distributed.isInitialized() ? undefined : signal,
    nll: true,
    out: folder.of(job),
    ...(onEvent && { onEvent }),
  });
}

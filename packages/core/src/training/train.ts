// One training run from its request to its result: checks everything, makes the run folder or goes on in it, and walks through.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { withDevice } from '@promot/torch';
import { isRun, isUnmade, RunFolder, type RunInfo, readRun } from '../artifacts/run-folder.js';
import { UserError } from '../base/errors.js';
import type { ConfigInput } from '../methods/settings.js';
import { fingerprintExamples } from '../tasks/task.js';
import { resolveConfig } from './config.js';
import { agreeOn, fromFirst, isFirst } from './parallel.js';
import type { TrainRequest, TrainResult } from './request.js';
import { walk } from './run.js';
import { type RunSetup, setUp, tearDown } from './setup.js';

export type { CheckpointMoment, MetricsLine, TrainEvent, TrainRequest, TrainResult } from './request.js';

/**
 * Trains a model on a task, or on several together. Throws UserError for bad input before anything is written.
 *
 * In a process group (`distributed.initProcessGroup`) all ranks call it with the same request: they divide the passes of each batch
 * and the evaluations, and rank 0 alone writes the run folder, which the others need not see.
 * @example
 * await train({ model: 't5-small', task: 'rte', data: 'data', method: 'promot', out: 'runs/rte', settings: { batchSize: 16 } });
 */
export async function train(request: TrainRequest): Promise<TrainResult> {
  const { out, resume = false } = request;
  const before = await fromFirst(() => runBefore(out, resume));
  const setup = await setUp(request);
  await agreeOn(setup);
  return withDevice(setup.loaded.model.embedding.device, () => trainSetUp(request, setup, before));
}

async function trainSetUp(
  request: TrainRequest,
  setup: RunSetup,
  before: ReturnType<typeof readRun> | undefined,
): Promise<TrainResult> {
  const { out } = request;
  try {
    const info = runInfo(request, setup);
    if (before) checkSame(before, info, setup, out);
    const open = () => (before ? RunFolder.reopen(out) : RunFolder.create(out, info, setup.config));
    const folder = isFirst() ? await open() : new RunFolder(out, false);
    const sum = (of: (task: RunSetup['tasks'][number]) => number) => setup.tasks.reduce((n, task) => n + of(task), 0);
    try {
      request.onEvent?.({
        type: 'start',
        config: setup.config,
        trainExamples: sum(({ examples }) => examples.examples.length),
        validationExamples: sum(({ validation }) => validation.length),
      });
      return await walk(folder, setup, request);
    } finally {
      await folder.unlock();
    }
  } finally {
    tearDown(setup);
  }
}

/** The run that is in a folder, to be gone on with. Errors: a UserError for a folder that no run may begin in. */
export function runBefore(out: string, resume: boolean): ReturnType<typeof readRun> | undefined {
  if (!isRun(out)) {
    if (existsSync(out) && !isUnmade(out))
      throw new UserError(`${out} is not empty and not a run: name another folder`);
    return undefined;
  }
  if (!resume) throw new UserError(`${out} already holds a run: go on with --resume, or name another folder`);
  return readRun(out);
}

/** What is written into the run folder of a request. Local paths become absolute: the run can be used from anywhere. */
function runInfo({ method, model, task, data }: TrainRequest, setup: RunSetup): RunInfo {
  const place = (text: string) => (existsSync(text) ? resolve(text) : text);
  const tasks = [task].flat().map(place);
  return {
    method,
    model: place(model),
    task: tasks.length === 1 ? tasks[0]! : tasks,
    data: data === undefined ? undefined : place(data),
    fingerprints: Object.fromEntries(
      setup.tasks.map((one) => [
        one.task.name,
        `${one.task.version} ${fingerprintExamples([...one.examples.examples, ...one.validation])}`,
      ]),
    ),
  };
}

/** Throws UserError where a run is to go on as another than it began. Settings that it did not know then have their defaults. */
function checkSame(
  before: ReturnType<typeof readRun>,
  now: RunInfo,
  { config, defaults }: RunSetup,
  out: string,
): void {
  for (const key of ['model', 'task', 'method'] as const)
    if (!isDeepStrictEqual(before[key], now[key]))
      throw new UserError(`${out} is a run of ${key} ${before[key]}, not ${now[key]}: resume it as it began`);
  // Runs of earlier versions do not say.
  for (const [task, fingerprint] of Object.entries(before.fingerprints ?? {}))
    if (now.fingerprints![task] !== fingerprint)
      throw new UserError(
        `${out}: task ${task} is not what it was when the run began (its template or its data): ` +
          'bring it back to resume, or name another folder',
      );
  // Whatever form its settings have: those of LoRA's stage are there, and know no rank.
  const { stage2 } = before.config as { stage2?: object };
  if (before.method === 'lora' && stage2 && !('loraRank' in stage2))
    throw new UserError(
      `${out}: an older promot began this run, whose LoRA was of another kind: it cannot go on; name another folder`,
    );
  if (!isDeepStrictEqual(resolveConfig(defaults, before.config as ConfigInput), config))
    throw new UserError(
      `${out} began with other settings (see its config.yaml): resume it with the same, or name another folder`,
    );
}

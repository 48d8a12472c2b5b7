// One training run from its request to its result: checks everything, makes the run folder or goes on in it, and walks
// through.
import { isDeepStrictEqual } from 'node:util';
import { withDevice } from '@promot/torch';
import { RunFolder } from '../artifacts/run-folder.js';
import { fingerprintModel } from '../open/fingerprint.js';
import { checkFingerprints, fingerprintsOf } from './fingerprints.js';
import { agreeOn, checkShared, fromFirst, isFirst } from './parallel.js';
import { describeChoice } from './presets.js';
import type { TrainRequest, TrainResult } from './request.js';
import { checkSame, placed, type RunBefore, runBefore } from './resume.js';
import { checkOrder, walk } from './run.js';
import { type RunSetup, setUp, tearDown } from './setup.js';

export type { CheckpointMoment, MetricsLine, TrainRequest, TrainResult, WorkEvent } from './request.js';

/**
 * Trains a model on a task, or on several together. Throws UserError for bad input before anything is written.
 *
 * In a process group (`distributed.initProcessGroup`) all ranks call it with the same request: they divide the passes
 * of each batch and the evaluations, and rank 0 alone writes the run folder, which the others need not see.
 * @example
 * const settings = { batchSize: 16 };
 * await train({ model: 't5-small', task: 'rte', data: 'data', method: 'promot', out: 'runs/rte', settings });
 */
export async function train(request: TrainRequest): Promise<TrainResult> {
  const { out, resume = false } = request;
  const before = await fromFirst(() => runBefore(out, resume));
  if (before) checkSame(before, request);
  const ends = new AbortController();
  let fingerprint: Promise<string> | undefined;
  try {
    const setup = await setUp(request, before, () => {
      // Goes on while the model is read.
      fingerprint = isFirst() ? fingerprintModel(request.model, undefined, ends.signal) : undefined;
      fingerprint?.catch(() => {}); // Said where it is asked for.
    });
    await agreeOn(setup);
    return await withDevice(setup.loaded.model.embedding.device, () => trainSetUp(request, setup, before, fingerprint));
  } finally {
    // After an error nobody waits for the hash of a large model.
    ends.abort();
    await fingerprint?.catch(() => {});
  }
}

async function trainSetUp(
  request: TrainRequest,
  setup: RunSetup,
  before: RunBefore | undefined,
  fingerprint: Promise<string> | undefined,
): Promise<TrainResult> {
  const { out } = request;
  try {
    const own = fingerprint && (await fingerprintsOf(fingerprint, setup));
    const fingerprints = await fromFirst(() => own!);
    if (before) checkFingerprints(before.fingerprints, fingerprints, out);
    const info = { ...placed(request), fingerprints };
    const open = () => (before ? RunFolder.reopen(out) : RunFolder.create(out, info, setup.config));
    const folder = isFirst() ? await open() : new RunFolder(out, false);
    if (setup.shards) await checkShared(out);
    const sum = (of: (task: RunSetup['tasks'][number]) => number) => setup.tasks.reduce((n, task) => n + of(task), 0);
    const { method, config, loaded } = setup;
    const trainExamples = sum(({ examples }) => examples.examples.length);
    try {
      request.onEvent?.({
        type: 'start',
        config,
        chosen: describeChoice(config, method, loaded.model, trainExamples),
        trainExamples,
        validationExamples: sum(({ validation }) => validation.length),
      });
      if (before && folder.writes) {
        checkOrder(folder, setup, request, before);
        if (!isDeepStrictEqual(before.config, config)) await folder.describe(info, config);
      }
      return await walk(folder, setup, request);
    } finally {
      await folder.unlock();
    }
  } finally {
    tearDown(setup);
  }
}

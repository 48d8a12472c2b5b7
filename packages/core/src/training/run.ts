// A run under way: stage after stage, each going on from where it stands.
import type { RunFolder } from '../artifacts/run-folder.js';
import { Measurer } from './measurer.js';
import { jointSignal } from './parallel.js';
import { nameOf, phaseKey } from './phases.js';
import type { Place, TrainRequest, TrainResult } from './request.js';
import type { RunSetup } from './setup.js';
import { runStage } from './stage.js';
import { metricOf } from './validation.js';

/** All phases in turn; what is done already is not done again. */
export async function walk(folder: RunFolder, setup: RunSetup, asked: TrainRequest): Promise<TrainResult> {
  const { signal, agreeToStop } = jointSignal(asked.signal);
  const request = { ...asked, signal };
  const done: TrainResult['stages'][number][] = [];
  let finished = true;
  if (folder.writes) await rewindMetrics(folder, setup);
  const measurer = new Measurer(folder, setup, request);
  const context = { folder, setup, request, measurer, agreeToStop };
  for (const phase of setup.phases) {
    const { finished: whole, best, seconds } = await runStage(phase, context);
    if (!whole) {
      finished = false;
      break;
    }
    done.push({ ...nameOf(phase), best: best!, seconds });
  }
  return {
    out: folder.path,
    finished,
    metric: metricOf(setup.tasks),
    stages: done,
    peakMemory: process.resourceUsage().maxRSS * 1024,
  };
}

/** Takes back the lines of steps and evaluations that no checkpoint knows of: they are made anew. */
async function rewindMetrics(folder: RunFolder, { phases }: RunSetup): Promise<void> {
  const states = new Map(phases.map(({ key }) => [key, folder.newestState(key)]));
  await folder.rewindMetrics((line: Place) => {
    const { stage, task, step } = line;
    const state = states.get(states.has(stage) ? stage : phaseKey(stage, task));
    if (!state || step > state.step) return false;
    // Lines of steps are as old as the checkpoint; all others were made at a kept one, or before the first step.
    if ('tokensPerSecond' in line) return true;
    return step === 0 ? state.start !== undefined : state.candidates.some((c) => c.step === step);
  });
}

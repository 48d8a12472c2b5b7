// A run under way: stage after stage, each going on from where it stands.
import { distributed } from '@promot/torch';
import type { MetricsFileLine } from '../artifacts/metrics-file.js';
import type { Candidate, RunFolder, StageState } from '../artifacts/run-folder.js';
import { flattened } from '../artifacts/training-run.js';
import { UserError } from '../base/errors.js';
import { needsOf } from './checkpointer.js';
import { Measurer } from './measurer.js';
import { jointSignal } from './parallel.js';
import { nameOf, type Phase, phaseKey } from './phases.js';
import type { TrainRequest, TrainResult } from './request.js';
import type { RunBefore } from './resume.js';
import type { RunSetup } from './setup.js';
import { isDone, rulesOf, runStage } from './stage.js';
import { metricOf } from './validation.js';

/** All phases in turn; what is done already is not done again. */
export async function walk(folder: RunFolder, setup: RunSetup, asked: TrainRequest): Promise<TrainResult> {
  const { signal, agreeToStop } = jointSignal(asked.signal);
  const request = { ...asked, signal };
  const done: TrainResult['stages'][number][] = [];
  let finished = true;
  if (folder.writes) rewindMetrics(folder, setup, request);
  const measurer = new Measurer(folder, setup, request);
  const context = { folder, setup, request, measurer, agreeToStop };
  const ended: { state: StageState; best: Candidate }[] = [];
  for (const phase of setup.phases) {
    const {
      finished: whole,
      best,
      state,
    } = await runStage(phase, context).catch(async (error: unknown) => {
      throw await distributed.explained(error);
    });
    if (!whole) {
      finished = false;
      break;
    }
    ended.push({ state, best: best! });
    done.push({ ...nameOf(phase), best: best!, seconds: state.seconds });
  }
  if (finished && !setup.config.keepCheckpoints) folder.finish(ended);
  return {
    out: folder.path,
    finished,
    metric: metricOf(setup.tasks),
    stages: done,
    peakMemory: process.resourceUsage().maxRSS * 1024,
  };
}

/**
 * Throws UserError where a stage is to have more steps than it had and is not the last that was begun. (One whose
 * newest checkpoints are damaged comes to the same bits again.)
 */
export function checkOrder(folder: RunFolder, setup: RunSetup, request: TrainRequest, before: RunBefore): void {
  const { phases, config } = setup;
  const settings = flattened(before.config);
  const states = phases.map((phase) => stateOf(phase, folder, setup, request));
  const open = phases.findIndex(({ stage }, i) => !states[i] || !isDone(states[i], config.stages[stage.settings]!));
  if (!states[open] || !states.slice(open + 1).some((state) => state !== undefined)) return;
  const { key, stage } = phases[open]!;
  const steps = Number(settings[`stages.${stage.settings}.steps`] ?? settings[`${stage.settings}.steps`]);
  if (states[open].step >= steps)
    throw new UserError(
      `${folder.path}: stage ${key} cannot have more steps: what comes after it has begun; name another folder`,
    );
}

/** Where a phase stands. Damaged checkpoints are set aside. */
function stateOf(
  { key, stage }: Phase,
  folder: RunFolder,
  { config }: RunSetup,
  { onEvent }: TrainRequest,
): StageState | undefined {
  const tell = (text: string) => onEvent?.({ type: 'note', text });
  const settings = config.stages[stage.settings]!;
  const kept = folder.finishedState(key, tell);
  if (kept && isDone(kept, settings)) return kept;
  return folder.checkpoints.recover(key, needsOf(rulesOf(config, settings)), tell);
}

/** Takes back the lines of steps and evaluations that no checkpoint knows of: they are made anew. */
function rewindMetrics(folder: RunFolder, setup: RunSetup, request: TrainRequest): void {
  const { onEvent } = request;
  const states = new Map(setup.phases.map((phase) => [phase.key, stateOf(phase, folder, setup, request)]));
  const keep = (line: MetricsFileLine): boolean => {
    const { stage, task, step } = line;
    const state = states.get(states.has(stage) ? stage : phaseKey(stage, task));
    if (!state || step > state.step) return false;
    // Lines of steps are as old as the checkpoint; all others were made at a kept one, or before the first step.
    if (line.type === 'step') return true;
    return step === 0 ? state.start !== undefined : state.candidates.some((c) => c.step === step);
  };
  folder.rewindMetrics(keep, (where) =>
    onEvent?.({ type: 'note', text: `${where}: not a line that promot wrote: it is left out` }),
  );
}

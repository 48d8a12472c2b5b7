// Going on with a run: what it was, and which of its settings may have changed meanwhile.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { isRun, type RunFile, type RunInfo, readRun } from '../artifacts/run-file.js';
import { isUnmade } from '../artifacts/run-folder.js';
import { flattened } from '../artifacts/training-run.js';
import { UserError } from '../base/errors.js';
import { type ConfigInput, overlay, overlayStages, type TrainingConfig } from '../methods/settings.js';
import type { TrainRequest } from './request.js';

/** An existing run, and its folder. */
export type RunBefore = RunFile & { readonly out: string };

/** The run that is in a folder, to be gone on with. Errors: a UserError for a folder that no run may begin in. */
export function runBefore(out: string, resume: boolean): RunBefore | undefined {
  if (!isRun(out)) {
    if (existsSync(out) && !isUnmade(out))
      throw new UserError(`${out} is not empty and not a run: name another folder`);
    return undefined;
  }
  if (!resume) throw new UserError(`${out} already holds a run: go on with --resume, or name another folder`);
  return { ...readRun(out), out };
}

/**
 * The request that goes on with a run as it began: everything is in its run.json. Errors: a UserError where there is no
 * run.
 *
 * @example await train(resumeRequest('runs/rte'));
 */
export function resumeRequest(out: string): TrainRequest {
  if (!isRun(out)) throw new UserError(`${out}: there is no run to go on with`);
  const { model, tasks, method, data } = readRun(out);
  return { model, task: tasks, method, out, resume: true, ...(data !== undefined && { data }) };
}

/**
 * The settings of a run that goes on: those that it began with, but a stage may have more steps where its rate does not
 * depend on their number. Errors: a UserError that names what is other.
 */
export function resumedConfig(
  stored: TrainingConfig,
  given: ConfigInput,
  examples: number,
  out: string,
): TrainingConfig {
  const { stages } = overlayStages({}, given);
  const config = overlay(stored, given);
  for (const [name, { epochs, steps }] of Object.entries(stages))
    if (typeof epochs === 'number' && steps === undefined)
      config.stages[name]!.steps = Math.max(1, Math.ceil((epochs * examples) / config.batchSize));
  const [before, now] = [flattened(stored), flattened(config)];
  const other = Object.keys(now).filter(
    (key) => before[key] !== now[key] && !sameResult.has(key) && !isLonger(key, stored, config),
  );
  if (other.length > 0) {
    const said = other.map(
      (key) => `${key.replace(/^stages\.(stage[12])\./u, '$1.')} was ${before[key]}, not ${now[key]}`,
    );
    throw new UserError(
      `${out} began with other settings (${said.join('; ')}): resume it with the same, or name another folder`,
      { code: 'changed' },
    );
  }
  return config;
}

/** Settings that change memory and speed, and no result. */
const sameResult: ReadonlySet<string> = new Set(['activationCheckpointing', 'shard']);

/** Whether a setting makes a stage longer and nothing else. */
function isLonger(key: string, { stages: before }: TrainingConfig, { stages: now }: TrainingConfig): boolean {
  const [, name = '', leaf = ''] = key.match(/^stages\.(.+)\.(steps|epochs)$/u) ?? [];
  if (leaf === '') return false;
  const { steps, schedule } = now[name]!;
  return steps >= before[name]!.steps && (schedule === 'constant' || schedule === 'inverse-sqrt');
}

/** What a request is about. Local paths become absolute: the run can be used from anywhere. */
export function placed({ method, model, task, data }: TrainRequest): RunInfo {
  const place = (text: string) => (existsSync(text) ? resolve(text) : text);
  return {
    method,
    model: place(model),
    tasks: [task].flat().map(place),
    data: data === undefined ? undefined : place(data),
  };
}

/** Throws UserError where a run is to go on as another than it began. */
export function checkSame(before: RunBefore, request: TrainRequest): void {
  const { out } = before;
  const now = placed(request);
  for (const key of ['model', 'tasks', 'method'] as const)
    if (!isDeepStrictEqual(before[key], now[key]))
      throw new UserError(`${out} is a run of ${key} ${before[key]}, not ${now[key]}: resume it as it began`, {
        code: 'changed',
      });
  // Whatever form its settings have: those of LoRA's stage are there, and know no rank.
  const { stage2 } = before.config as { stage2?: object };
  if (before.method === 'lora' && stage2 && !('loraRank' in stage2))
    throw new UserError(
      `${out}: an older promot began this run, whose LoRA was of another kind: it cannot go on; name another folder`,
    );
}

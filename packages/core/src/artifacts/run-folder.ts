// A run folder on disk: run.json, config.yaml, environment.json, metrics.jsonl, samples/, checkpoints/, and the results: prompt/ (of several tasks
// prompts/TASK/), lora/, model/.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { cpus, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import {
  currentDevice,
  libtorch,
  noGrad,
  type Optimizer,
  openSafetensors,
  scope,
  type Tensor,
  threads,
  writeSafetensors,
} from '@promot/torch';
import { stringify } from 'yaml';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { readJson } from '../base/json.js';
import { lockFolder } from '../base/lock.js';
import { version } from '../base/version.js';
import { isTemporaryName, writeText } from '../base/write.js';
import { appendMetrics, type MetricsFileLine, readMetrics, writeMetrics } from './metrics-file.js';
import { isRun, type RunInfo, writeRun } from './run-file.js';
import { digits, runSamplesPath, writeSamples } from './samples-file.js';

/** A kept checkpoint as a candidate for the best. */
export interface Candidate {
  readonly step: number;
  /** The task's metric on the validation split, 0 to 100; of several tasks the mean. */
  readonly score: number;
  /** Mean negative log-likelihood of the validation targets, nats per token; of several tasks the mean. */
  readonly evalLoss: number;
  /** One standard error of `score`; runs of earlier versions do not say. */
  readonly scoreError?: number;
  /** Mean score of the keep list, 0 to 100; where it was evaluated. */
  readonly keepAverage?: number;
  /** The keep list warned here: the target's form leaks, or references have become less likely. */
  readonly warns?: boolean;
}

/** Where a stage stands. */
export interface StageState {
  /** What its checkpoints are called; of several tasks' prompts `prompt-TASK`. */
  readonly stage: string;
  /** Present where step 0 was measured: what came out. */
  readonly start?: { readonly keepAverage?: number };
  readonly step: number;
  /** Kept checkpoints so far. */
  readonly candidates: readonly Candidate[];
  /** Seconds of training so far. */
  readonly seconds: number;
  /** How often the learning rate was lowered (`learningRate=auto`). */
  readonly lowered?: number;
}

const finishedFile = 'finished.json';

const finished = z.looseObject({
  stages: z.array(
    z.object({
      stage: z.string(),
      start: z.object({ keepAverage: z.number().optional() }).optional(),
      step: z.int().positive(),
      seconds: z.number(),
      lowered: z.int().positive().optional(),
      candidates: z.array(
        z.object({
          step: z.int().positive(),
          score: z.number(),
          scoreError: z.number().optional(),
          evalLoss: z.number(),
          keepAverage: z.number().optional(),
          warns: z.boolean().optional(),
        }),
      ),
    }),
  ),
});

/** True where a folder is empty, or holds no more than `RunFolder.create` had made when it was killed. */
export function isUnmade(folder: string): boolean {
  const made = ['lock', 'lock.void', 'config.yaml', 'environment.json'];
  return readdirSync(folder).every((name) => {
    if (name === 'checkpoints' || name === 'samples') return readdirSync(join(folder, name)).length === 0;
    return made.includes(name) || isTemporaryName(name);
  });
}

export class RunFolder {
  #release: (() => Promise<void>) | undefined;

  /** @param writes false where another process writes the same run: then nothing is. */
  constructor(
    readonly path: string,
    readonly writes = true,
  ) {}

  /** Makes the folder of a new run and locks it. Throws UserError where another process made one there meanwhile. */
  static async create(path: string, info: RunInfo, config: object): Promise<RunFolder> {
    await mkdir(path, { recursive: true });
    const folder = new RunFolder(path);
    folder.#release = await lockFolder(path);
    try {
      if (isRun(path)) throw new UserError(`${path} already holds a run`);
      removeTemporaries(path);
      await mkdir(join(path, 'checkpoints'), { recursive: true });
      await mkdir(join(path, 'samples'), { recursive: true });
      await writeText(join(path, 'environment.json'), `${JSON.stringify(environment(), null, 2)}\n`);
      await folder.describe(info, config);
    } catch (error) {
      await folder.unlock();
      throw error;
    }
    return folder;
  }

  /** A run that is there, locked, without what a killed process was about to write. */
  static async reopen(path: string): Promise<RunFolder> {
    const folder = new RunFolder(path);
    folder.#release = await lockFolder(path);
    try {
      removeTemporaries(path);
      // A person may have deleted them.
      for (const name of ['checkpoints', 'samples']) await mkdir(join(path, name), { recursive: true });
    } catch (error) {
      await folder.unlock();
      throw error;
    }
    return folder;
  }

  /** Says what the run is, and its settings. */
  async describe(info: RunInfo, config: object): Promise<void> {
    await writeText(join(this.path, 'config.yaml'), stringify(config));
    // Last: a folder with this file is a run.
    writeRun(this.path, info, config);
  }

  get promptPath(): string {
    return join(this.path, 'prompt');
  }
  /** Of a run of several tasks, one task's. */
  promptPathOf(task: string): string {
    return join(this.path, 'prompts', task);
  }
  get loraPath(): string {
    return join(this.path, 'lora');
  }
  get modelPath(): string {
    return join(this.path, 'model');
  }

  appendMetrics(...lines: readonly MetricsFileLine[]): void {
    if (this.writes) appendMetrics(this.path, lines);
  }

  /**
   * Takes back the lines of steps that a resumed run takes again.
   * @param onDamaged hears where a line cannot be read, which is taken out. Errors: without it, a UserError for such a line.
   */
  rewindMetrics(keep: (line: MetricsFileLine) => boolean, onDamaged?: (where: string) => void): void {
    const lines = readMetrics(this.path, onDamaged);
    if (lines.length > 0) writeMetrics(this.path, lines.filter(keep));
  }

  writeSamples(stage: string, step: number, samples: readonly object[]): void {
    if (this.writes) writeSamples(runSamplesPath(this.path, stage, step), samples);
  }

  /** Rewrites what a whole checkpoint of this stage and step says of the stage: its tensors stay. */
  async updateCheckpoint(state: StageState): Promise<void> {
    if (!this.writes) return;
    await writeText(join(this.checkpointPath(state.stage, state.step), 'state.json'), JSON.stringify(state));
  }

  /** Writes a checkpoint under a temporary name and renames it: a checkpoint folder is whole or not there. */
  async saveCheckpoint(
    state: StageState,
    trained: ReadonlyMap<string, Tensor>,
    optimizer: ReadonlyMap<string, Tensor>,
  ): Promise<void> {
    if (!this.writes) return;
    const final = this.checkpointPath(state.stage, state.step);
    const temporary = `${final}.tmp`;
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary);
    noGrad(() => {
      writeSafetensors(join(temporary, 'trained.safetensors'), trained);
      writeSafetensors(join(temporary, 'optimizer.safetensors'), optimizer);
    });
    await writeText(join(temporary, 'state.json'), JSON.stringify(state));
    await rm(final, { recursive: true, force: true });
    await rename(temporary, final);
  }

  /**
   * Keeps the two newest checkpoints, so that training can go on from the one before should the newest be damaged, and of the
   * `wanted` and the `keepLast` newest kept ones of the stage the weights; of step `whole` all.
   */
  async prune(state: StageState, keepLast: number, wanted: readonly Candidate[] = [], whole?: number): Promise<void> {
    if (!this.writes) return;
    const kept = new Set(state.candidates.slice(Math.max(0, state.candidates.length - keepLast)).map((c) => c.step));
    for (const { step } of wanted) kept.add(step);
    for (const step of this.checkpointSteps(state.stage).slice(0, -2)) {
      if (step === whole) continue;
      const folder = this.checkpointPath(state.stage, step);
      await rm(kept.has(step) ? join(folder, 'optimizer.safetensors') : folder, { recursive: true, force: true });
    }
  }

  /**
   * Puts the files of a stage back to a step: the checkpoint of that step says `state` from now on, and later ones are deleted.
   * A process that is killed meanwhile finds the later ones, or the earlier with its new state.
   */
  async goBack(state: StageState): Promise<void> {
    if (!this.writes) return;
    await this.updateCheckpoint(state);
    for (const step of this.checkpointSteps(state.stage).reverse())
      if (step > state.step) await rm(this.checkpointPath(state.stage, step), { recursive: true, force: true });
  }

  /**
   * Deletes the checkpoints of a finished run but the best of each stage, and writes down where the stages stood
   * (finished.json): the run is still known to be finished.
   */
  async finish(stages: readonly { readonly state: StageState; readonly best: Candidate }[]): Promise<void> {
    if (!this.writes) return;
    const states = stages.map(({ state }) => state);
    await writeText(join(this.path, finishedFile), `${JSON.stringify({ stages: states }, null, 2)}\n`);
    for (const { state, best } of stages)
      for (const step of this.checkpointSteps(state.stage))
        if (step !== best.step) await rm(this.checkpointPath(state.stage, step), { recursive: true, force: true });
  }

  /** Where a stage stood when the run was finished and its checkpoints were deleted; else undefined. */
  finishedState(stage: string): StageState | undefined {
    const path = join(this.path, finishedFile);
    if (!existsSync(path)) return undefined;
    const { stages } = readJson(path, finished);
    return stages.find((state) => state.stage === stage);
  }

  /** The newest whole checkpoint of a stage from which training can go on; undefined where there is none. */
  newestState(stage: string): StageState | undefined {
    for (const step of this.checkpointSteps(stage).reverse()) {
      const folder = this.checkpointPath(stage, step);
      try {
        const state = JSON.parse(readFileSync(join(folder, 'state.json'), 'utf8')) as StageState;
        if (state.step !== step || !Array.isArray(state.candidates)) continue;
        for (const name of ['trained', 'optimizer']) openSafetensors(join(folder, `${name}.safetensors`)).close();
        return state;
      } catch {
        // Damaged, or only weights left: the one before it.
      }
    }
    return undefined;
  }

  /** Copies a checkpoint's weights into the trained tensors. */
  loadTrained(stage: string, step: number, into: ReadonlyMap<string, Tensor>): void {
    const file = openSafetensors(join(this.checkpointPath(stage, step), 'trained.safetensors'));
    noGrad(() =>
      scope(() => {
        for (const [name, tensor] of into) tensor.copy_(file.tensor(name));
      }),
    );
    file.close();
  }

  /** Puts a stage back where a checkpoint left it. Throws UserError where the checkpoint does not fit what is trained. */
  restore({ stage, step }: StageState, trained: ReadonlyMap<string, Tensor>, optimizer: Optimizer): void {
    this.loadTrained(stage, step, trained);
    const path = join(this.checkpointPath(stage, step), 'optimizer.safetensors');
    const file = openSafetensors(path);
    try {
      scope(() => optimizer.restore(new Map([...file.entries.keys()].map((name) => [name, file.tensor(name)])), step));
    } catch (error) {
      throw new UserError(`${path}: it does not fit this run: ${(error as Error).message}`);
    } finally {
      file.close();
    }
  }

  checkpointPath(stage: string, step: number): string {
    return join(this.path, 'checkpoints', `${stage}-${digits(step)}`);
  }

  /** Steps that have a checkpoint folder, ascending. */
  checkpointSteps(stage: string): number[] {
    return readdirSync(join(this.path, 'checkpoints'))
      .filter((name) => name.startsWith(`${stage}-`) && /^\d{6,}$/.test(name.slice(stage.length + 1)))
      .map((name) => Number(name.slice(stage.length + 1)))
      .sort((a, b) => a - b);
  }

  /** Lets other processes have the folder. */
  async unlock(): Promise<void> {
    await this.#release?.();
    this.#release = undefined;
  }
}

/** What a killed process was about to write. */
function removeTemporaries(folder: string): void {
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }))
    if (isTemporaryName(name)) rmSync(join(folder, name), { recursive: true, force: true });
}

/** What a later reader needs to know to get the same bits again. */
function environment(): Record<string, unknown> {
  const build = libtorch();
  return {
    date: new Date().toISOString(),
    promot: version(),
    node: process.version,
    libtorch: build.version,
    cpuCapability: build.cpuCapability,
    device: currentDevice(),
    threads: threads(),
    processor: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    system: `${platform()} ${release()}`,
  };
}

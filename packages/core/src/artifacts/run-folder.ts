// A run folder on disk: run.json, config.yaml, environment.json, metrics.jsonl, samples/, checkpoints/, and the
// results: prompt/ (of several tasks prompts/TASK/), lora/, model/.
import { readdirSync, renameSync } from 'node:fs';
import { cpus, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { currentDevice, libtorch, threads } from '@promot/torch';
import { stringify } from 'yaml';
import { UserError } from '../base/errors.js';
import { lockFolder } from '../base/lock.js';
import { version } from '../base/version.js';
import { isTemporaryName, makeFolder, removeTemporaries, writeText } from '../base/write.js';
import { Checkpoints } from './checkpoints.js';
import { appendMetrics, type MetricsFileLine, readMetrics, writeMetrics } from './metrics-file.js';
import { isRun, type RunInfo, writeRun } from './run-file.js';
import { runSamplesPath, writeSamples } from './samples-file.js';
import { type Candidate, readFinished, type StageState, writeFinished } from './state-file.js';

export type { Candidate, StageState } from './state-file.js';

const finishedName = 'finished.json';

/** True where a folder is empty, or holds no more than `RunFolder.create` had made when it was killed. */
export function isUnmade(folder: string): boolean {
  // The task's file is there before the run, where the command line wrote it.
  const made = ['lock', 'lock.void', 'config.yaml', 'environment.json', 'task.yaml'];
  return readdirSync(folder).every((name) => {
    if (name === 'checkpoints' || name === 'samples') return readdirSync(join(folder, name)).length === 0;
    return made.includes(name) || isTemporaryName(name);
  });
}

export class RunFolder {
  readonly checkpoints: Checkpoints;
  #release: (() => Promise<void>) | undefined;

  /** @param writes false where another process writes the same run: then nothing is. */
  constructor(
    readonly path: string,
    readonly writes = true,
  ) {
    this.checkpoints = new Checkpoints(join(path, 'checkpoints'), writes);
  }

  /** Makes the folder of a new run and locks it. Throws UserError where another process made one there meanwhile. */
  static async create(path: string, info: RunInfo, config: object): Promise<RunFolder> {
    makeFolder(path);
    const folder = new RunFolder(path);
    folder.#release = await lockFolder(path);
    try {
      if (isRun(path)) throw new UserError(`${path} already holds a run`);
      removeTemporaries(path);
      makeFolder(join(path, 'checkpoints'));
      makeFolder(join(path, 'samples'));
      await writeText(join(path, 'environment.json'), `${JSON.stringify(environment(), null, 2)}\n`);
      await folder.describe(info, config);
    } catch (error) {
      await folder.unlock();
      throw error;
    }
    return folder;
  }

  /** An existing run, locked, without what a killed process was about to write. */
  static async reopen(path: string): Promise<RunFolder> {
    const folder = new RunFolder(path);
    folder.#release = await lockFolder(path);
    try {
      removeTemporaries(path);
      // A person may have deleted them.
      for (const name of ['checkpoints', 'samples']) makeFolder(join(path, name));
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
   * @param onDamaged hears where a line cannot be read, which is taken out. Errors: without it, a UserError for such a
   * line.
   */
  rewindMetrics(keep: (line: MetricsFileLine) => boolean, onDamaged?: (where: string) => void): void {
    const lines = readMetrics(this.path, onDamaged);
    if (lines.length > 0) writeMetrics(this.path, lines.filter(keep));
  }

  writeSamples(stage: string, step: number, samples: readonly object[]): void {
    if (this.writes) writeSamples(runSamplesPath(this.path, stage, step), samples);
  }

  /**
   * Deletes the checkpoints of a finished run but the best of each stage, and writes down where the stages stood
   * (finished.json): the run is still known to be finished.
   */
  finish(stages: readonly { readonly state: StageState; readonly best: Candidate }[]): void {
    if (!this.writes) return;
    writeFinished(
      join(this.path, finishedName),
      stages.map(({ state }) => state),
    );
    for (const { state, best } of stages) this.checkpoints.removeAllBut(state.stage, best.step);
  }

  /**
   * Where a stage stood when the run was finished and its checkpoints were deleted; else undefined.
   * @param tell hears where the file is damaged, which is set aside
   */
  finishedState(stage: string, tell: (text: string) => void): StageState | undefined {
    const path = join(this.path, finishedName);
    try {
      return readFinished(path)?.find((state) => state.stage === stage);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      if (this.writes) renameSync(path, `${path}.damaged`);
      tell(`${error.message}: set aside as ${path}.damaged`);
      return undefined;
    }
  }

  /** Lets other processes have the folder. */
  async unlock(): Promise<void> {
    await this.#release?.();
    this.#release = undefined;
  }
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

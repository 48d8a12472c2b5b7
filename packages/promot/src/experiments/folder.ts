// Where an experiment's jobs leave their results, and who works on which: DIR/runs, DIR/models, DIR/evaluations,
// DIR/jobs.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { RunFolder } from '@promot/core/artifacts';
import { lockFolder, makeFolder, readJson, UserError, writeText } from '@promot/core/base';
import { z } from 'zod';
import type { EvaluationJob, Job } from './plan.js';

/** What is written when a job is done. */
const finished = z.looseObject({
  /** That it took, over all its interruptions where it knows. */
  seconds: z.number(),
});
type Finished = z.infer<typeof finished>;

const places: Readonly<Record<Job['kind'], string>> = {
  run: 'runs',
  interpolation: 'models',
  evaluation: 'evaluations',
};

export class ExperimentFolder {
  constructor(readonly path: string) {}

  /** Of a job's result. */
  of({ kind, name }: Pick<Job, 'kind' | 'name'>): string {
    return join(this.path, places[kind], name);
  }

  /** The model and the prompt of an evaluation as `evaluateTasks` takes them. */
  modelOf({ model, prompt }: EvaluationJob): { model: string; prompt?: string } {
    const path =
      'base' in model
        ? model.base
        : 'run' in model
          ? this.of({ kind: 'run', name: model.run })
          : this.of({ kind: 'interpolation', name: model.interpolation });
    if (!prompt) return { model: path };
    const run = this.of({ kind: 'run', name: prompt.run });
    return { model: path, prompt: prompt.task === undefined ? run : new RunFolder(run).promptPathOf(prompt.task) };
  }

  /** What a finished job left, or undefined. A result that was deleted is to be made again. */
  finished(job: Job): Finished | undefined {
    const path = this.#marker(job);
    if (!existsSync(path) || !existsSync(this.of(job))) return undefined;
    return readJson(path, finished);
  }

  async finish(job: Job, finished: Finished): Promise<void> {
    await writeText(this.#marker(job), `${JSON.stringify(finished)}\n`);
  }

  /**
   * Takes a job for this process; undefined where another one has it, on this machine or another that shares the
   * folder. The lock of a process that is gone counts for nothing, that of another machine after a silent minute.
   */
  async claim(job: Job): Promise<(() => Promise<void>) | undefined> {
    const folder = join(this.path, 'jobs', job.name);
    makeFolder(folder);
    try {
      return await lockFolder(folder, { wait: false });
    } catch (error) {
      if (error instanceof UserError && error.code === 'locked') return undefined;
      throw error;
    }
  }

  #marker({ name }: Job): string {
    return join(this.path, 'jobs', name, 'finished.json');
  }
}

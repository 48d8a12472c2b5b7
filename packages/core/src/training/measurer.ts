// What is measured along a run: validation, the keep list, and what the caller wants to know; the lines of
// metrics.jsonl.
import type { Tensor } from '@promot/torch';
import type { EvaluationLine } from '../artifacts/metrics-file.js';
import type { Candidate, RunFolder } from '../artifacts/run-folder.js';
import { readTrainingRun } from '../artifacts/training-run.js';
import type { WorkEvent } from '../base/events.js';
import type { TargetForm } from '../evaluation/form.js';
import { has } from '../methods/index.js';
import { type KeepScore, type KeepScores, scoreKeepList, targetForms, warningsOf } from './keep.js';
import { fromFirst } from './parallel.js';
import { nameOf, type Phase, phaseKey } from './phases.js';
import type { Place, TrainRequest } from './request.js';
import type { RunSetup } from './setup.js';
import { validate } from './validation.js';

const samplesPerEvaluation = 50;

export class Measurer {
  /** Of the targets; known once the keep list is first evaluated. */
  #forms: readonly TargetForm[] | undefined;

  /** The keep list at step 0, by phase. */
  readonly #keptAtStart = new Map<string, readonly KeepScore[]>();

  constructor(
    private readonly folder: RunFolder,
    private readonly setup: RunSetup,
    private readonly request: TrainRequest,
  ) {}

  /** Before a phase's first step: the keep list, and what the caller wants to know. */
  async start(phase: Phase): Promise<{ keepAverage?: number }> {
    const { keepAverage } = await this.#measure(phase, 0);
    return { keepAverage };
  }

  /** A kept checkpoint's evaluations. Their lines are written together, at the end: the candidate vouches for them. */
  async candidate(phase: Phase, step: number): Promise<Candidate> {
    const place = placeOf(phase, step);
    const { config, loaded, tasks } = this.setup;
    const {
      metric,
      score,
      scoreError,
      evalLoss,
      tasks: results,
    } = await validate(loaded, phase.tasks, {
      beams: config.beams,
      maxInputLength: config.maxInputLength,
      signal: this.request.signal,
      onEvent: (event) => {
        if (event.type !== 'evaluating') return;
        const { of, ...answers } = event;
        this.#tell({ ...answers, ...place, ...(phase.tasks.length > 1 && { of }) });
      },
    });
    for (const { task, samples } of results)
      this.folder.writeSamples(
        phaseKey(phase.stage.name, tasks.length > 1 ? task : undefined),
        step,
        samples.slice(0, samplesPerEvaluation),
      );
    this.#tell({ type: 'evaluation', ...place, metric, score, evalLoss });
    const { keepAverage, warns } = await this.#measure(phase, step, {
      type: 'evaluation',
      ...place,
      metric,
      score,
      scoreError,
      evalLoss,
      tasks: results.map(({ samples: _, ...result }) => result),
    });
    return { step, score, scoreError, evalLoss, keepAverage, ...(warns && { warns }) };
  }

  /** What is measured at step 0 as well. Writes all lines at once. */
  async #measure(
    phase: Phase,
    step: number,
    validation?: EvaluationLine,
  ): Promise<{ keepAverage?: number; warns?: boolean }> {
    const { loaded, keepTasks } = this.setup;
    const place = placeOf(phase, step);
    const measuresLoss = keepTasks.length > 0 && phase.stage.trains.includes('model');
    const kept = measuresLoss ? await this.#scoreKeepList(phase, place) : undefined;
    if (kept) this.#tell({ type: 'keep', ...place, ...kept });
    if (kept && step === 0) this.#keptAtStart.set(phase.key, kept.keep);
    const own = await this.request.atCheckpoint?.({
      stage: phase.stage.name,
      step,
      loaded,
      task: phase.task,
      prompt: phase.tasks.length === 1 ? phase.tasks[0]!.prompt : undefined,
      prompts: promptsOf(phase),
    });
    this.folder.appendMetrics(
      ...(validation ? [validation] : []),
      ...(kept ? [{ type: 'keep', ...place, ...kept } as const] : []),
      // Its type and place are the run's to say.
      ...(own ? [{ ...place, ...own, type: 'own', ...place } as const] : []),
    );
    const warnings = kept && step > 0 ? warningsOf(await this.#startOf(phase), kept.keep) : [];
    const stage = this.setup.config.stages[phase.stage.settings]!;
    if (warnings.length > 0)
      this.#tell({
        type: 'note',
        text:
          `stage ${phase.key} step ${step}: the keep list is being lost. ${warnings.join('; ')}` +
          (stage.lowerRate ? '' : `. A lower ${phase.stage.settings}.learningRate may keep it; "auto" lowers it`),
      });
    return { keepAverage: kept?.keepAverage, warns: warnings.length > 0 };
  }

  /** The keep list before the stage's first step; of a run that goes on, as metrics.jsonl has it. */
  async #startOf(phase: Phase): Promise<readonly KeepScore[]> {
    const known = this.#keptAtStart.get(phase.key);
    if (known) return known;
    const { stage, task } = placeOf(phase, 0);
    const kept = await fromFirst(() => {
      const { keeps } = readTrainingRun(this.folder.path);
      const line = keeps.find((one) => one.stage === stage && one.task === task && one.step === 0);
      return (line?.keep ?? []) as readonly KeepScore[];
    });
    this.#keptAtStart.set(phase.key, kept);
    return kept;
  }

  async #scoreKeepList({ stage }: Phase, place: Place): Promise<KeepScores> {
    const { loaded, keepTasks, config, tasks, lora } = this.setup;
    this.#forms ??= await targetForms(
      tasks.map(({ task }) => task),
      keepTasks,
    );
    const forms = this.#forms;
    const score = () =>
      scoreKeepList(loaded, keepTasks, config, {
        forms,
        signal: this.request.signal,
        onEvent: (event) => event.type === 'evaluating' && this.#tell({ ...event, ...place }),
      });
    // The other tasks are asked without what can be taken off.
    return lora && has(stage, 'lora') ? lora.without(score) : score();
  }

  #tell(event: WorkEvent): void {
    this.request.onEvent?.(event);
  }
}

export function placeOf(phase: Phase, step: number): Place {
  return { ...nameOf(phase), step };
}

function promptsOf({ tasks }: Phase): ReadonlyMap<string, Tensor> {
  return new Map(tasks.flatMap(({ task, prompt }) => (prompt ? [[task.name, prompt] as const] : [])));
}

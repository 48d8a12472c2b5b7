// A run under way: phase after phase, with checkpoints from which it goes on bit for bit, evaluations, and the hand-over of results.
import { setImmediate } from 'node:timers/promises';
import { deriveSeed, type Parameters, type Tensor } from '@promot/torch';
import { attachLora, type Lora, writeLoraAdapter } from '../adapters/lora.js';
import { writePromptAdapter } from '../adapters/peft.js';
import type { Candidate, RunFolder, StageState } from '../artifacts/run-folder.js';
import type { TargetForm } from '../evaluation/form.js';
import { saveModel } from '../models/load.js';
import { bestOf, type KeepRule, type KeepScores, keeps, scoreKeepList, targetForms } from './keep.js';
import { trainLoop } from './loop.js';
import { makeOptimizer } from './optimizers.js';
import { type Phase, phaseKey } from './phases.js';
import type { MetricsLine, Place, TrainEvent, TrainRequest, TrainResult } from './request.js';
import { learningRateAt } from './schedule.js';
import type { RunSetup } from './setup.js';
import { metricOf, validate } from './validation.js';

/** Checkpoints between the kept ones, so that little is lost when the machine goes down. */
const minutesBetweenSaves = 10;
/** Kept checkpoints that stay on disk beside the best and the newest. */
const keepLast = 1;
const samplesPerEvaluation = 50;
/** The soft prompt's name among trained tensors; no model has a parameter of this name. */
const promptName = 'prompt';
/** Tells the seed of the additions that train in the model's place from those of the first stage. */
const additionsPlace = 2;

export class Run {
  /** LoRA that trains in place of the model's own weights in the present phase. */
  #additions: Lora | undefined;
  /** Of the targets; known once the keep list is first evaluated. */
  #forms: readonly TargetForm[] | undefined;

  constructor(
    readonly folder: RunFolder,
    readonly setup: RunSetup,
    readonly request: TrainRequest,
  ) {}

  /** All phases in turn; what is done already is not done again. */
  async walk(): Promise<TrainResult> {
    const { phases, config, tasks } = this.setup;
    const done: TrainResult['stages'][number][] = [];
    let finished = true;
    await this.#rewindMetrics();
    for (const phase of phases) {
      this.#attachAdditions(phase);
      const state = await this.#runPhase(phase);
      if (state.step < config[phase.stage.settings].steps || !state.candidates.some((c) => c.step === state.step)) {
        finished = false;
        break;
      }
      const best = this.#chooseBest(phase, state);
      await this.#handOver(phase, best);
      done.push({ ...nameOf(phase), best, seconds: state.seconds });
    }
    return {
      out: this.folder.path,
      finished,
      metric: metricOf(tasks),
      stages: done,
      peakMemory: process.resourceUsage().maxRSS * 1024,
    };
  }

  dispose(): void {
    this.#additions?.detach();
  }

  /** Takes back the lines of steps and evaluations that no checkpoint knows of: they are made anew. */
  async #rewindMetrics(): Promise<void> {
    const states = new Map(this.setup.phases.map(({ key }) => [key, this.folder.newestState(key)]));
    await this.folder.rewindMetrics((line: Place) => {
      const { stage, task, step } = line;
      const state = states.get(states.has(stage) ? stage : phaseKey(stage, task));
      if (!state || step > state.step) return false;
      // Lines of steps are as old as the checkpoint; all others were made at a kept one, or before the first step.
      if ('tokensPerSecond' in line) return true;
      return step === 0 ? state.start !== undefined : state.candidates.some((c) => c.step === step);
    });
  }

  /** Trains a phase to its end or until the signal; returns where it stands. Fresh optimizer state at its first step. */
  async #runPhase(phase: Phase): Promise<StageState> {
    const { signal } = this.request;
    const { config, loaded } = this.setup;
    const { stage, key, mixture } = phase;
    const settings = config[stage.settings];
    const trained = this.#trainedBy(phase);
    const optimizer = makeOptimizer(
      trained,
      settings,
      !stage.trains.includes('model') || this.#additions !== undefined,
    );
    const newest = this.folder.newestState(key);
    if (!newest && this.folder.checkpointSteps(key).length > 0)
      this.#tell({ type: 'note', text: `stage ${key}: none of its checkpoints can be read, so it begins anew` });
    let state: StageState = newest ?? { stage: key, step: 0, candidates: [], seconds: 0 };
    if (state.step > 0) this.folder.restore(state, trained, optimizer);
    const trainedParameters = [...trained.values()].reduce((n, t) => n + t.numel, 0);
    this.#tell({ type: 'stage', ...nameOf(phase), step: state.step, steps: settings.steps, trainedParameters });

    const prune = () => {
      const best = state.candidates.length > 0 ? bestOf(state.candidates, this.#ruleOf(state)) : undefined;
      return this.folder.prune(state, keepLast, best);
    };
    const save = async () => {
      await this.folder.saveCheckpoint(state, trained, optimizer.state());
      await prune();
    };
    /** A kept checkpoint is saved first and evaluated then, so that a run killed meanwhile evaluates it when it resumes. */
    const evaluateIfDue = async () => {
      const due = state.step > 0 && (state.step % settings.keepEvery === 0 || state.step === settings.steps);
      if (!due || state.candidates.some((c) => c.step === state.step)) return;
      const candidate = await this.#evaluate(phase, state.step);
      state = { ...state, candidates: [...state.candidates, candidate] };
      await this.folder.updateCheckpoint(state);
      await prune();
    };
    let lastSave = performance.now();
    try {
      // Not saved: a run that is killed before its first checkpoint begins anew.
      if (state.step === 0) state = { ...state, start: await this.#measure(phase, 0) };
      await evaluateIfDue();
      await trainLoop({
        model: loaded.model,
        trained,
        optimizer,
        batch: (step) => mixture.batch(step),
        learningRate: (step) => learningRateAt(step, settings),
        steps: settings.steps,
        loss: config,
        dropout: config.dropout,
        seed: deriveSeed(phase.seed, phase.place),
        gradientClip: settings.gradientClip,
        afterStep: async ({ step, loss, learningRate, gradientNorm, tokens, seconds }) => {
          state = { ...state, step, seconds: state.seconds + seconds };
          const line: MetricsLine = {
            ...placeOf(phase, step),
            loss,
            learningRate,
            gradientNorm,
            tokensPerSecond: tokens / seconds,
            elapsed: state.seconds,
            remaining: (state.seconds / step) * (settings.steps - step),
            memory: process.memoryUsage.rss(),
          };
          this.folder.appendMetrics(line);
          this.#tell({ type: 'step', steps: settings.steps, ...line });
          // Timers, signals and the caller's own work run here. A Ctrl-C is heard now, before the question whether to save.
          await setImmediate();
          const due = step % settings.keepEvery === 0 || step === settings.steps;
          if (due || signal?.aborted || performance.now() - lastSave > minutesBetweenSaves * 60_000) {
            await save();
            lastSave = performance.now();
          }
          if (due && !signal?.aborted) await evaluateIfDue();
          return !signal?.aborted;
        },
      });
    } catch (error) {
      // An evaluation that the signal cut short is done anew when the run resumes.
      if (!signal?.aborted) throw error;
    } finally {
      optimizer.dispose();
    }
    return state;
  }

  /** The tensors that a phase moves, by name. */
  #trainedBy({ stage: { trains }, tasks }: Phase): Parameters {
    const { loaded, lora } = this.setup;
    const prompts = tasks.map(({ task, prompt }) => [this.#promptName(tasks, task.name), prompt!] as const);
    return new Map([
      ...(trains.includes('prompt') ? prompts : []),
      ...(trains.includes('lora') ? lora!.parameters : []),
      ...(trains.includes('model') ? (this.#additions ?? loaded.model).parameters : []),
    ]);
  }

  #promptName(tasks: Phase['tasks'], task: string): string {
    return tasks.length === 1 ? promptName : `${promptName}.${task}`;
  }

  #attachAdditions({ stage }: Phase): void {
    const { config, loaded } = this.setup;
    const { loraRank } = config.stage2;
    if (loraRank > 0 && stage.trains.includes('model'))
      this.#additions = attachLora(loaded.model, loraRank, deriveSeed(config.seed, additionsPlace), 'all');
  }

  /** The best checkpoint's weights become the phase's result: adapter folders, a model folder, or both. */
  async #handOver(phase: Phase, best: Candidate): Promise<void> {
    const { loaded, lora, tasks } = this.setup;
    this.folder.loadTrained(phase.key, best.step, this.#trainedBy(phase));
    // An adapter that this stage did not train is part of the result, too: the task is asked with it.
    for (const { task, prompt } of phase.tasks)
      if (prompt) {
        const place = tasks.length > 1 ? this.folder.promptPathOf(task.name) : this.folder.promptPath;
        await writePromptAdapter(place, prompt, loaded.model, this.request.model);
      }
    const adapter = lora ?? this.#additions;
    if (adapter) await writeLoraAdapter(this.folder.loraPath, adapter, this.request.model);
    this.#additions?.merge();
    this.#additions = undefined;
    if (phase.stage.trains.includes('model')) await saveModel(this.folder.modelPath, loaded);
  }

  #ruleOf({ start }: StageState): KeepRule | undefined {
    const { tolerance } = this.setup.config.keep;
    return tolerance === null || start?.keepAverage === undefined
      ? undefined
      : { before: start.keepAverage, tolerance };
  }

  #chooseBest(phase: Phase, state: StageState): Candidate {
    const rule = this.#ruleOf(state);
    const best = bestOf(state.candidates, rule);
    if (rule && !keeps(best, rule))
      this.#tell({
        type: 'note',
        text:
          `stage ${phase.key}: every checkpoint lost more than ${rule.tolerance} points of the keep list; ` +
          `step ${best.step} lost least`,
      });
    const before = state.start?.keepAverage;
    const lost = before === undefined ? {} : { lost: before - best.keepAverage! };
    this.#tell({ type: 'best', ...placeOf(phase, best.step), score: best.score, ...lost });
    return best;
  }

  /** A kept checkpoint's evaluations. Their lines are written together, at the end: the candidate vouches for them. */
  async #evaluate(phase: Phase, step: number): Promise<Candidate> {
    const place = placeOf(phase, step);
    const { config, loaded, tasks } = this.setup;
    const {
      metric,
      score,
      evalLoss,
      tasks: results,
    } = await validate(loaded, phase.tasks, {
      beams: config.beams,
      maxInputLength: config.maxInputLength,
      signal: this.request.signal,
      onProgress: (task, done, total) =>
        this.#tell({ type: 'evaluating', ...place, ...(phase.tasks.length > 1 && { of: task }), done, total }),
    });
    for (const { task, samples } of results)
      await this.folder.writeSamples(
        phaseKey(phase.stage.name, tasks.length > 1 ? task : undefined),
        step,
        samples.slice(0, samplesPerEvaluation),
      );
    this.#tell({ type: 'evaluation', ...place, metric, score, evalLoss });
    const line =
      results.length === 1 ? { [metric]: score } : { score, tasks: results.map(({ samples: _, ...result }) => result) };
    const { keepAverage } = await this.#measure(phase, step, { ...place, evalLoss, ...line });
    return { step, score, evalLoss, keepAverage };
  }

  /** What is measured at step 0 as well: the keep list, and what the caller wants to know. Writes all lines at once. */
  async #measure(phase: Phase, step: number, validation?: object): Promise<{ keepAverage?: number }> {
    const { loaded, keepTasks } = this.setup;
    const place = placeOf(phase, step);
    const measuresLoss = keepTasks.length > 0 && phase.stage.trains.includes('model');
    const kept = measuresLoss ? await this.#scoreKeepList(phase, place) : undefined;
    if (kept) this.#tell({ type: 'keep', ...place, ...kept });
    const own = await this.request.atCheckpoint?.({
      stage: phase.stage.name,
      step,
      loaded,
      task: phase.task,
      prompt: phase.tasks.length === 1 ? phase.tasks[0]!.prompt : undefined,
      prompts: promptsOf(phase),
    });
    if (validation) this.folder.appendMetrics(validation);
    if (kept) this.folder.appendMetrics({ ...place, ...kept });
    // Its place is the run's to say.
    if (own) this.folder.appendMetrics({ ...place, ...own, ...place });
    return { keepAverage: kept?.keepAverage };
  }

  async #scoreKeepList(phase: Phase, place: Place): Promise<KeepScores> {
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
        onProgress: (task, done, total) => this.#tell({ type: 'evaluating', ...place, of: task, done, total }),
      });
    // The other tasks are asked without what can be taken off.
    return lora && phase.stage.trains.includes('model') ? lora.without(score) : score();
  }

  #tell(event: TrainEvent): void {
    this.request.onEvent?.(event);
  }
}

function nameOf({ stage, task }: Phase): { stage: string; task?: string } {
  return { stage: stage.name, ...(task !== undefined && { task }) };
}

function placeOf(phase: Phase, step: number): Place {
  return { ...nameOf(phase), step };
}

function promptsOf({ tasks }: Phase): ReadonlyMap<string, Tensor> {
  return new Map(tasks.flatMap(({ task, prompt }) => (prompt ? [[task.name, prompt] as const] : [])));
}

// One phase of a run: what it trains and with which optimizer, its steps, and its result in the run folder.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { deriveSeed, distributed, type Parameters, scope } from '@promot/torch';
import { attachLora, type Lora, writeLoraAdapter } from '../adapters/lora.js';
import { writePromptAdapter } from '../adapters/peft.js';
import type { Candidate, RunFolder, StageState } from '../artifacts/run-folder.js';
import { UserError } from '../base/errors.js';
import type { WorkEvent } from '../base/events.js';
import { has, type StageConfig, type TrainingConfig } from '../methods/index.js';
import type { ModelCard } from '../models/card.js';
import { saveModel } from '../models/save.js';
import { checkpointsActivations } from './activation.js';
import { Checkpointer, type CheckpointRules, readDivided } from './checkpointer.js';
import { bestOf, choiceRule, keeps, standsStill } from './choose.js';
import { type LoopOptions, trainLoop } from './loop.js';
import { type Measurer, placeOf } from './measurer.js';
import { klPenalty, objectives, type Pass } from './objectives/index.js';
import { makeOptimizer } from './optimizers.js';
import { copyFromFirst, fromFirst, waitForWriter } from './parallel.js';
import { PassSizes } from './pass-sizes.js';
import { nameOf, type Phase } from './phases.js';
import type { MetricsLine, TrainRequest } from './request.js';
import { learningRateAt } from './schedule.js';
import type { RunSetup } from './setup.js';
import type { Held } from './shards.js';
import { metricOf } from './validation.js';

/** The soft prompt's name among trained tensors; no model has a parameter of this name. */
const promptName = 'prompt';
/** `learningRate=auto` divides the rate by this, at most this many times. */
const lowering = 3;
const mostLowerings = 4;
/** Tells the seed of the additions that train in the model's place from those of the first stage. */
const additionsPlace = 2;

interface StageDone {
  /** False where the signal ended it before its last step. */
  readonly finished: boolean;
  /** The best checkpoint, whose weights are in place and handed over; of a finished stage. */
  readonly best?: Candidate;
  readonly state: StageState;
}

/** What a stage needs beside itself. */
interface StageContext {
  readonly folder: RunFolder;
  readonly setup: RunSetup;
  readonly request: TrainRequest;
  readonly measurer: Measurer;
  /** Sets the request's signal on all ranks where one was asked to stop. */
  readonly agreeToStop: () => Promise<void>;
}

/** Goes through a phase, from where it stands to its end, and hands its result over. */
export async function runStage(phase: Phase, context: StageContext): Promise<StageDone> {
  const { lora } = context.setup;
  const run = async () => {
    const stage = new StageRun(phase, context);
    try {
      return await stage.run();
    } finally {
      stage.dispose();
    }
  };
  // A stage that does not attach the LoRA of another is without it.
  return lora && !has(phase.stage, 'lora') ? lora.without(run) : run();
}

/**
 * Whether a stage has come to its end and was evaluated there. It ends by its steps, or because validation stands
 * still.
 */
export function isDone({ step, candidates }: StageState, { steps, patience }: StageConfig): boolean {
  if (!candidates.some((one) => one.step === step)) return false;
  return step >= steps || standsStill(candidates, patience) !== undefined;
}

/** Which checkpoint is the best of a stage, and whether it goes back. */
export function rulesOf(config: TrainingConfig, { lowerRate }: StageConfig): CheckpointRules {
  return { rule: (state) => choiceRule(state, config), goesBack: lowerRate };
}

/** What a rank of a divided run holds, for people. */
function heldText({ parameters, gradients, optimizer, gathered }: Held): string {
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 0)} MB`;
  return (
    `rank ${distributed.getRank()} of ${distributed.getWorldSize()} held ${mb(parameters)} of parameters, ` +
    `${mb(gradients)} of gradients, ${mb(optimizer)} of the optimizer, and gathered at most ${mb(gathered)} at once`
  );
}

class StageRun {
  readonly #settings: StageConfig;
  /** LoRA that trains in place of the model's own weights. */
  #additions: Lora | undefined;
  readonly #trained: Parameters;

  constructor(
    private readonly phase: Phase,
    private readonly context: StageContext,
  ) {
    const { config, loaded } = context.setup;
    this.#settings = config.stages[phase.stage.settings]!;
    const { loraRank } = this.#settings;
    if (loraRank > 0 && phase.stage.trains.includes('model'))
      this.#additions = attachLora(loaded.model, loraRank, deriveSeed(config.seed, additionsPlace), 'all');
    this.#trained = this.#trainedTensors();
  }

  dispose(): void {
    this.#additions?.detach();
  }

  async run(): Promise<StageDone> {
    const { folder } = this.context;
    const note = (text: string) => this.#tell({ type: 'note', text });
    const { key } = this.phase;
    const kept = await fromFirst(() => folder.finishedState(key, note));
    const isKept =
      kept !== undefined && isDone(kept, this.#settings) && (await fromFirst(() => this.#hasBest(kept, note)));
    // Where the weights of a finished stage are damaged, it is done anew.
    const state = isKept ? kept : await this.#train(kept !== undefined && !isDone(kept, this.#settings));
    if (!isDone(state, this.#settings)) return { finished: false, state };
    const { steps, patience } = this.#settings;
    if (state.step < steps) {
      const perfect = standsStill(state.candidates, patience) === 'perfect';
      const why = perfect
        ? `the validation score was 100 in ${patience} evaluations in a row`
        : `validation has stood still for ${patience} evaluations`;
      this.#note(`${why}, so it ends at step ${state.step} of ${steps}`);
    }
    const best = this.#chooseBest(state);
    await this.#handOver(best);
    return { finished: true, best, state };
  }

  /** The tensors that the phase moves, by name. */
  #trainedTensors(): Parameters {
    const { loaded, lora } = this.context.setup;
    const { stage, tasks } = this.phase;
    const prompts = tasks.map(({ task, prompt }) => {
      return [tasks.length === 1 ? promptName : `${promptName}.${task.name}`, prompt!] as const;
    });
    return new Map([
      ...(stage.trains.includes('prompt') ? prompts : []),
      ...(stage.trains.includes('lora') ? lora!.parameters : []),
      ...(stage.trains.includes('model') ? (this.#additions ?? loaded.model).parameters : []),
    ]);
  }

  /**
   * Trains to the end or until the signal; returns where the phase stands. Fresh optimizer state at its first step.
   * `wasFinished`: with fewer steps, and its checkpoints were deleted but the best.
   */
  async #train(wasFinished: boolean): Promise<StageState> {
    const { phase } = this;
    const { stage, key, mixture } = phase;
    const { folder, measurer, request, setup } = this.context;
    const { signal } = request;
    const { config, loaded } = setup;
    const settings = this.#settings;
    const trained = this.#trained;
    const { shards } = setup;
    const optimizer = makeOptimizer(
      shards?.piecesOf(trained) ?? trained,
      settings,
      !stage.trains.includes('model') || this.#additions !== undefined,
      shards,
    );
    try {
      const checkpoints = await Checkpointer.open(folder, key, trained, optimizer, {
        ...rulesOf(config, settings),
        shards,
        tell: (text) => this.#tell({ type: 'note', text }),
      });
      const { step: begin } = checkpoints.state;
      if (wasFinished && begin === 0)
        throw new UserError(
          `${folder.path}: stage ${key} cannot have more steps: its last checkpoint was deleted when the run ` +
            'finished (keepCheckpoints=true keeps it); name another folder',
        );
      const trainedParameters = [...trained.values()].reduce((n, t) => n + t.numel, 0);
      this.#tell({ type: 'stage', ...nameOf(phase), step: begin, steps: settings.steps, trainedParameters });

      const isKept = (step: number) => step > 0 && (step % settings.keepEvery === 0 || step === settings.steps);
      /**
       * A kept checkpoint is saved first and evaluated then, so that a run killed meanwhile evaluates it when it
       * resumes.
       */
      const evaluateIfDue = async () => {
        const { step } = checkpoints.state;
        if (isKept(step) && !checkpoints.isCandidate)
          await checkpoints.addCandidate(await measurer.candidate(phase, step));
        await this.#lowerRate(checkpoints);
      };
      try {
        if (begin === 0 && !checkpoints.state.start) {
          checkpoints.start(await measurer.start(phase));
          // To go back to, if need be.
          if (settings.lowerRate) await checkpoints.save();
        }
        const stopsEarly = () => checkpoints.isCandidate && isDone(checkpoints.state, settings);
        const note = (text: string) => this.#note(text);
        const passSizes = await PassSizes.open(phase, { folder, setup }, note);
        await trainLoop({
          model: loaded.model,
          trained,
          optimizer,
          batch: (step) => mixture.batch(step, passSizes.at(step)),
          onOutOfMemory: async (step) => {
            const examples = await passSizes.halve(step);
            if (examples !== undefined)
              note(`step ${step}: memory did not suffice; from here on passes have at most ${examples} examples`);
            return examples !== undefined;
          },
          learningRate: (step) => learningRateAt(step, settings) / lowering ** (checkpoints.state.lowered ?? 0),
          steps: settings.steps,
          ...this.#loss(),
          dropout: config.dropout,
          seed: deriveSeed(phase.seed, phase.place),
          gradientClip: settings.gradientClip,
          recompute: checkpointsActivations(phase, setup, passSizes.at(begin + 1), note),
          shards,
          beforeFirst: async () => {
            await evaluateIfDue();
            return !stopsEarly();
          },
          afterStep: async ({ step, loss, learningRate, gradientNorm, tokens, seconds }) => {
            checkpoints.advance(step, seconds);
            const elapsed = checkpoints.state.seconds;
            const line: MetricsLine = {
              ...placeOf(phase, step),
              loss,
              learningRate,
              gradientNorm,
              tokensPerSecond: tokens / seconds,
              elapsed,
              remaining: (elapsed / step) * (settings.steps - step),
              memory: process.memoryUsage.rss(),
            };
            folder.appendMetrics({ type: 'step', ...line });
            this.#tell({ type: 'step', steps: settings.steps, ...line });
            // Timers, signals and the caller's own work run here. A Ctrl-C is heard now, before the question whether to
            // save.
            await setImmediate();
            await this.context.agreeToStop();
            const isDue = isKept(step) || signal?.aborted || (await fromFirst(() => checkpoints.isOld));
            if (isDue) await checkpoints.save();
            if (!signal?.aborted) await evaluateIfDue();
            return !signal?.aborted && !stopsEarly();
          },
        });
      } catch (error) {
        // An evaluation that the signal cut short is done anew when the run resumes.
        if (!signal?.aborted) throw error;
      }
      if (shards) this.#note(heldText(shards.held(optimizer)));
      return checkpoints.state;
    } finally {
      optimizer.dispose();
    }
  }

  /** Where the keep list warns: back to the last good checkpoint, and on at a lower rate. */
  async #lowerRate(checkpoints: Checkpointer): Promise<void> {
    const { learningRate, lowerRate } = this.#settings;
    if (!lowerRate || !checkpoints.warns) return;
    const { lowered = 0 } = checkpoints.state;
    if (lowered >= mostLowerings) {
      this.#note(`the rate was lowered ${lowered} times, and is no more`);
      return;
    }
    await checkpoints.goBack();
    const { step } = checkpoints.state;
    const { folder } = this.context;
    if (folder.writes)
      folder.rewindMetrics(
        (line) => line.stage !== this.phase.stage.name || line.task !== this.phase.task || line.step <= step,
      );
    const rate = (learningRate / lowering ** (lowered + 1)).toPrecision(2);
    this.#note(`goes back to step ${step} and on at a learning rate of ${rate}`);
  }

  /** The objective of the stage, and the penalty for leaving the pretrained model. */
  #loss(): Pick<LoopOptions, 'loss' | 'second' | 'lossOfLogitsAlone'> {
    const { config, base } = this.context.setup;
    const { objective, trains } = this.phase.stage;
    const main = objectives.get(objective ?? config.loss);
    if (!base || !trains.includes('model'))
      return { loss: (pass) => main.loss(pass, config), lossOfLogitsAlone: main.ofLogitsAlone ?? false };
    const penalty = klPenalty(base.model, config.kl.weight);
    // Without the prompt, the tuned model is compared as other tasks will ask it.
    const isApart = ({ prompt }: Pick<Pass, 'prompt'>) => prompt !== undefined && !config.kl.prompt;
    return {
      loss: (pass) =>
        isApart(pass) ? main.loss(pass, config) : scope(() => main.loss(pass, config).add(penalty(pass))),
      second: { needs: isApart, loss: penalty },
      lossOfLogitsAlone: false,
    };
  }

  #hasBest(state: StageState, tell: (text: string) => void): boolean {
    const { step } = bestOf(state.candidates, choiceRule(state, this.context.setup.config));
    return this.context.folder.checkpoints.hasWeights(state.stage, step, tell);
  }

  #chooseBest(state: StageState): Candidate {
    const rule = choiceRule(state, this.context.setup.config);
    const best = bestOf(state.candidates, rule);
    const { keep } = rule;
    if (keep && !keeps(best, keep))
      this.#note(
        `every checkpoint lost more than ${keep.tolerance} points of the keep list; step ${best.step} lost least`,
      );
    const before = state.start?.keepAverage;
    const lost = before === undefined ? {} : { lost: before - best.keepAverage! };
    this.#tell({ type: 'best', ...placeOf(this.phase, best.step), score: best.score, ...lost });
    return best;
  }

  /** The best checkpoint's weights become the phase's result: adapter folders, a model folder, or both. */
  async #handOver(best: Candidate): Promise<void> {
    const { folder, request, setup } = this.context;
    const { loaded, lora, tasks } = setup;
    const { stage } = this.phase;
    const { shards } = setup;
    if (shards?.part === 'all') {
      const stored = shards.stored(shards.piecesOf(this.#trained));
      readDivided(folder, { stage: this.phase.key, step: best.step }, stored);
    } else {
      if (folder.writes) folder.checkpoints.load(this.phase.key, best.step, this.#trained);
      await copyFromFirst(this.#trained.values());
    }
    const isModelTrained = stage.trains.includes('model');
    // Whoever loads the adapter with PEFT alone gets the model that it belongs to, wherever they stand.
    const base = isModelTrained ? resolve(folder.modelPath) : namedBase(request.model);
    // An adapter that this stage did not train is part of the result, too: the task is asked with it.
    for (const { task, prompt } of this.phase.tasks)
      if (prompt && folder.writes) {
        const place = tasks.length > 1 ? folder.promptPathOf(task.name) : folder.promptPath;
        await writePromptAdapter(place, prompt, loaded.model, base);
      }
    const adapter = (has(stage, 'lora') ? lora : undefined) ?? this.#additions;
    // Additions that go into the model's weights are additions to what it was before.
    const baseOfAdapter = this.#additions ? namedBase(request.model) : base;
    if (adapter && folder.writes) await writeLoraAdapter(folder.loraPath, adapter, baseOfAdapter);
    this.#additions?.merge();
    this.#additions = undefined;
    // All ranks write a model that is divided.
    if (isModelTrained && (folder.writes || shards?.part === 'all'))
      await saveModel(folder.modelPath, loaded, { card: this.#card(best) });
    await waitForWriter();
  }

  /** What the model card says: the method, the tasks, the score that chose the checkpoint. */
  #card(best: Candidate): ModelCard {
    const { request, setup } = this.context;
    const names = setup.tasks.map(({ task }) => task.name).join(', ');
    const done = [
      `Fine-tuned on ${names} with the method \`${request.method}\`.`,
      `Of stage \`${this.phase.key}\` the checkpoint of step ${best.step} is kept, which scored best on the ` +
        'validation split.',
    ];
    const [first] = this.phase.tasks;
    if (first?.prompt)
      done.push('Its task is asked with the soft prompt that was trained first; everything else without.');
    const on = `${names} (validation)`;
    return { base: request.model, done, scores: [{ metric: metricOf(setup.tasks), on, score: best.score }] };
  }

  #note(text: string): void {
    this.#tell({ type: 'note', text: `stage ${this.phase.key}: ${text}` });
  }

  #tell(event: WorkEvent): void {
    this.context.request.onEvent?.(event);
  }
}

/** A model by a name that another program finds from any folder: a path from the root, or the name on the hub. */
function namedBase(model: string): string {
  return existsSync(model) ? resolve(model) : model;
}

// What the real experiment costs: each arm with its steps and looks, and hours at the rate that was measured in its
// folder, or else on one AVX2 core.
import { type Arm, chooseArms, mixFactors } from './arms.js';
import { recordsOf, stepsOf } from './looks.js';
import { armsOf, isArmDone, type RealRequest } from './request.js';

interface ArmCost {
  readonly arm: string;
  readonly steps: { readonly prompt: number; readonly model: number };
  readonly looks: number;
  /** That are left, by one process. */
  readonly seconds: number;
  readonly done: boolean;
}

export interface RealCost {
  readonly arms: readonly ArmCost[];
  readonly secondsLeft: number;
  /** Where the seconds come from. */
  readonly rate: string;
}

interface Pace {
  readonly promptStep: number;
  readonly modelStep: number;
  readonly look: number;
}

/**
 * Seconds of a step of 16 examples of SNLI, Gemma 3 270M, fp32, one AVX2 core of a busy machine, 2026-11-29: 88 steps
 * of the prompt took 1,575 s; a step of the model took 15 to 25 s.
 */
const avx2 = { promptStep: 18, modelStep: 20 };
const batch = 16;
/**
 * Gradients of a batch that it takes to say what a prompt absorbed: with and without it, and as much twice for the
 * form.
 */
const passesOfAbsorbed = 24;
/** Forward passes of a step of the model. */
const passesOfStep = 3;

export function planReal(request: Omit<RealRequest, 'data'>): RealCost {
  const { out, lengths, only } = request;
  const all = armsOf(request);
  const chosen = chooseArms(all, only);
  const measured = measuredPace(out, all);
  const promptStep = measured.promptStep ?? avx2.promptStep;
  const modelStep = measured.modelStep ?? avx2.modelStep;
  const look = measured.look ?? (sequencesOfLook(request) / batch / passesOfStep) * modelStep;
  const costs = chosen.map((arm) =>
    costOf(arm, { promptStep, modelStep, look }, lengths.look, isArmDone(out, arm), out),
  );
  const sources = [
    `${promptStep.toFixed(1)} s a step of the prompt ` +
      `(${measured.promptStep ? 'measured here' : 'one AVX2 core, fp32'})`,
    `${modelStep.toFixed(1)} s a step of the model (${measured.modelStep ? 'measured here' : 'one AVX2 core, fp32'})`,
    `${look.toFixed(0)} s a look (${measured.look ? 'measured here' : 'reckoned from the sequences that it reads'})`,
  ];
  return {
    arms: costs,
    secondsLeft: Math.round(costs.reduce((sum, { seconds }) => sum + seconds, 0)),
    rate: `${sources.join(', ')}. A step with a KL penalty takes longer than that.`,
  };
}

function costOf(arm: Arm, pace: Pace, lookEvery: number, done: boolean, out: string): ArmCost {
  const stages = (arm.settings ?? {}) as { stage1?: { steps: number }; stage2?: { steps: number } };
  const steps = { prompt: stages.stage1?.steps ?? 0, model: stages.stage2?.steps ?? 0 };
  // A prompt's own look is short: the target alone.
  const looks = arm.mixOf ? mixFactors.length : arm.absorbs ? 0 : arm.train ? Math.ceil(steps.model / lookEvery) : 1;
  const taken = !done && arm.train ? stepsOf(out, arm).length : 0;
  const left = Math.max(0, steps.prompt + steps.model - taken);
  const looksLeft = Math.max(0, looks - recordsOf(out, arm).length);
  const absorbing = arm.absorbs ? passesOfAbsorbed * pace.modelStep : 0;
  const seconds = done
    ? 0
    : absorbing + left * (steps.prompt > 0 ? pace.promptStep : pace.modelStep) + looksLeft * pace.look;
  return { arm: arm.name, steps, looks, seconds: Math.round(seconds), done };
}

/** What steps and looks took in this folder. */
function measuredPace(out: string, all: readonly Arm[]): Partial<Pace> {
  const sums = { prompt: { seconds: 0, steps: 0 }, model: { seconds: 0, steps: 0 } };
  const looks: number[] = [];
  for (const arm of all) {
    if (arm.train === undefined) continue;
    const last = stepsOf(out, arm).at(-1);
    if (!last) continue;
    const sum = last.stage === 'prompt' ? sums.prompt : sums.model;
    sum.seconds += last.elapsed;
    sum.steps += last.step;
    if (last.stage !== 'prompt') looks.push(...recordsOf(out, arm).flatMap(({ look }) => look.seconds ?? []));
  }
  const pace = ({ seconds, steps }: { seconds: number; steps: number }) => (steps > 0 ? seconds / steps : undefined);
  const look = looks.length > 0 ? looks.reduce((sum, seconds) => sum + seconds, 0) / looks.length : undefined;
  return { promptStep: pace(sums.prompt), modelStep: pace(sums.model), look };
}

/** Sequences, of about a training example's length, that a look reads. */
function sequencesOfLook({ limit, kept }: Pick<RealRequest, 'limit' | 'kept'>): number {
  // The target with the prompt and without; ARC-easy's four choices, PIQA's two, LAMBADA; questions, sentences,
  // articles.
  const few = 4 + 4 + 2 + 1 + 3 / 2 + 2 / 4 + 4 / 8;
  // HellaSwag's four choices, WinoGrande's and BoolQ's two; captions; the articles twice by two models.
  const more = 4 + 2 + 2 + 1 + (4 * 4) / 8;
  return limit * (kept === 'all' ? few + more : few);
}

// What the experiment saw: a look is one model at one moment, with the target and all that is kept. Where looks lie,
// and how they are read back.
import { join } from 'node:path';
import { checked, readJsonLines } from '@promot/core/base';
import { z } from 'zod';
import { type Arm, seriesOf } from './arms.js';
import type { KeptMeasures } from './kept.js';

const numbers = z.record(z.string(), z.number());

/** What is written of a look. */
const lookRecord = z.strictObject({
  /** The target's score on its validation examples, with the soft prompt where the arm has one. */
  target: z.number(),
  /** The same without the prompt. */
  targetWithoutPrompt: z.number().optional(),
  /** Empty where nothing but the prompt was trained: then it is what the model before training keeps. */
  kept: numbers.readonly(),
  /** What each example gave, by measure, `target` included. Looks of an earlier release have none. */
  examples: z.record(z.string(), z.array(z.number()).readonly()).readonly().optional(),
  /** That the look took. */
  seconds: z.number().optional(),
  /** Part of the tuned model in a mixture with the model before training. */
  factor: z.number().optional(),
});
export type LookRecord = Readonly<z.infer<typeof lookRecord>>;

/** The lines that count here, in a run's metrics or in a file of looks alone. */
const lookLine = z.looseObject({ step: z.int().nonnegative().default(0), look: lookRecord });
const stepLine = z.looseObject({ type: z.literal('step'), stage: z.string(), step: z.int(), elapsed: z.number() });
const evaluationLine = z.looseObject({ type: z.literal('evaluation'), step: z.int(), evalLoss: z.number() });

/** Lines of an arm's looks that are of a kind. Errors: a UserError for a damaged line. */
function linesOf<T>(out: string, arm: Arm, isMeant: (line: object) => boolean, schema: z.ZodType<T>): T[] {
  return readJsonLines(looksPath(out, arm)).flatMap(({ value, where }) => {
    const line = checked(value, z.looseObject({}), where);
    return isMeant(line) ? [checked(line, schema, where)] : [];
  });
}

export interface Look extends LookRecord {
  readonly arm: string;
  readonly method: string;
  /** What a report calls the arm: `ProMoT, rate 0.00001`. */
  readonly series: string;
  readonly rate?: number;
  readonly seed: number;
  /** Of the model's stage, or of the prompt's where that is all; of a mixture that of its run's best checkpoint. */
  readonly step: number;
}

/** Four digits tell all that examples can. */
const rounded = (value: number) => Number(value.toFixed(4));

/** A look's parts as they are written. */
export function recordOf(kept: KeptMeasures, target: readonly number[]): Pick<LookRecord, 'kept' | 'examples'> {
  return {
    kept: Object.fromEntries([...kept].map(([name, { value }]) => [name, value])),
    examples: Object.fromEntries([
      ['target', target.map(rounded)],
      ...[...kept].map(([name, { examples }]) => [name, examples.map(rounded)] as const),
    ]),
  };
}

/** Where the looks of an arm are written: the run's own metrics, or a file for an arm that trains nothing. */
export function looksPath(out: string, arm: Arm): string {
  return arm.train === undefined ? join(out, `${arm.name}.jsonl`) : join(out, 'runs', arm.name, 'metrics.jsonl');
}

/** The looks of an arm as they are written, finished or not, in their order, each with its step. */
export function recordsOf(out: string, arm: Arm): { readonly step: number; readonly look: LookRecord }[] {
  return linesOf(out, arm, (line) => 'look' in line, lookLine);
}

/** The steps of an arm's training, as far as it came. */
export function stepsOf(out: string, arm: Arm): z.infer<typeof stepLine>[] {
  return linesOf(out, arm, isOfType('step'), stepLine);
}

const isOfType = (type: string) => (line: object) => 'type' in line && line.type === type;

/** The same with what is known of the arm. */
export function looksOfArm(out: string, arm: Arm): Look[] {
  const { name, method, rate, seed } = arm;
  return recordsOf(out, arm).map(({ step, look }) => ({
    arm: name,
    method,
    series: seriesOf(arm),
    rate,
    seed,
    step,
    ...look,
  }));
}

/** An evaluation must lower the validation loss by this share to count as progress ... */
const progress = 0.01;
/** ... and where so many in a row did not, training would have ended. */
const patience = 3;

/**
 * Early stopping, read off a run of plain fine-tuning: the look of its lowest validation loss before the loss stood
 * still. It trains nothing of its own: up to there the two runs are the same.
 */
export function earlyStopOf(out: string, arm: Arm): Look[] {
  if (arm.method !== 'fine-tuning') return [];
  const losses = linesOf(out, arm, isOfType('evaluation'), evaluationLine);
  let best: { step: number; evalLoss: number } | undefined;
  let still = 0;
  for (const one of losses) {
    still = best === undefined || one.evalLoss <= (1 - progress) * best.evalLoss ? 0 : still + 1;
    if (best === undefined || one.evalLoss < best.evalLoss) best = one;
    if (still >= patience) break;
  }
  const method = 'early stopping';
  return looksOfArm(out, arm)
    .filter(({ step }) => step === best?.step)
    .map((look) => ({ ...look, method, series: seriesOf({ ...arm, method }) }));
}

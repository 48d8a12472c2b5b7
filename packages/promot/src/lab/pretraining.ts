// The mixture that the lab's models are pretrained on: which task, how many exemplars in front, and the prompt.

import { RandomStream } from '@promot/core/base';
import { exemplarSeparator, joinExemplars } from '@promot/core/tasks';
import { hashText } from './random.js';
import type { LabExample } from './splits.js';
import { LAB_TASKS, type LabTaskName } from './tasks.js';

/** Parts in a hundred of each task in the mixture. The rarer translation directions leave room to improve. */
export const PRETRAINING_RATES = {
  'lab-reading': 32,
  'lab-closed-book': 12,
  'lab-translation': 10,
  'lab-translation-deen': 8,
  'lab-translation-defr': 8,
  'lab-translation-enro': 4,
  'lab-translation-frro': 4,
  'lab-translation-roen': 4,
  'lab-summary': 18,
} as const satisfies Partial<Record<LabTaskName, number>>;

type PretrainingTask = keyof typeof PRETRAINING_RATES;

/** A piece of a prompt-and-answer text; a decoder-only model is trained on the answers alone. */
interface Segment {
  readonly text: string;
  readonly isAnswer: boolean;
}

/** One pretraining example. */
export interface PretrainingExample {
  readonly task: LabTaskName;
  readonly exemplars: readonly LabExample[];
  /** The whole prompt: exemplars, then the input. */
  readonly input: string;
  readonly target: string;
  /** Prompt and answer cut into pieces whose texts, joined, are `input + ' ' + target`. */
  readonly segments: readonly Segment[];
}

/** 0 up to `from`, 1 from `to` on, linear between. */
const ramp = (progress: number, from: number, to: number): number =>
  Math.min(1, Math.max(0, (progress - from) / (to - from)));

/**
 * The probability of 0, 1 and 4 exemplars at a point of training, from 0 (start) to 1 (end). A model this small
 * learns nothing from few-shot prompts at first: it must be able to do the tasks before exemplars come in, one at a
 * time and slowly.
 */
export function shotRates(progress: number): { readonly 0: number; readonly 1: number; readonly 4: number } {
  const one = 0.45 * ramp(progress, 0.15, 0.5);
  const four = 0.25 * ramp(progress, 0.45, 0.8);
  return { 0: 1 - one - four, 1: one, 4: four };
}

/**
 * The example at an index of the pretraining stream: a pure function of `seed`, `index` and `progress` (from 0 to 1; it
 * decides only how many exemplars stand in front). Exemplars come from the `pretrain` split of the same task.
 */
export function pretrainExample(seed: number, index: number, progress: number): PretrainingExample {
  const random = new RandomStream(hashText('pretraining of the lab'), seed, index);
  const name = drawTask(random);
  const draw = random.next() / 2 ** 32;
  const rates = shotRates(progress);
  const shots = draw < rates[0] ? 0 : draw < rates[0] + rates[1] ? 1 : 4;
  const example = (): LabExample => LAB_TASKS[name].example('pretrain', random.next());
  const { input, target } = example();
  const exemplars: LabExample[] = [];
  while (exemplars.length < shots) {
    const exemplar = example();
    if (exemplar.input !== input) exemplars.push(exemplar);
  }
  const segments = [
    ...exemplars.flatMap((exemplar) => [
      { text: exemplar.input, isAnswer: false },
      { text: ` ${exemplar.target}`, isAnswer: true },
      { text: exemplarSeparator, isAnswer: false },
    ]),
    { text: input, isAnswer: false },
    { text: ` ${target}`, isAnswer: true },
  ];
  return { task: name, exemplars, input: joinExemplars(exemplars, input), target, segments };
}

function drawTask(random: RandomStream): PretrainingTask {
  let left = random.integer(100);
  for (const [name, rate] of Object.entries(PRETRAINING_RATES)) {
    if (left < rate) return name as PretrainingTask;
    left -= rate;
  }
  throw new Error('the rates of the pretraining mixture do not sum to 100');
}

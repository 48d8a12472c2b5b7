// What the quickstart does: its tasks, settings and numbers. Two cores of any kind need two minutes for it.
import type { ConfigInput } from '@promot/core/train';

export const target = 'lab-enfr';
export const others = ['lab-translation-enro', 'lab-translation', 'lab-reading', 'lab-summary'] as const;

/** What people call the tasks. */
export const titles: Readonly<Record<string, string>> = {
  'lab-enfr': 'Enlan to Frelan',
  'lab-translation-enro': 'Enlan to Rolan',
  'lab-translation': 'Enlan to Delan',
  'lab-reading': 'reading',
  'lab-summary': 'summaries',
};
/** The language of the target's answers. */
export const language = 'Frelan';

/** Exemplars in front of the other tasks' inputs; the target task is always asked without. */
export const shots = 1;

export const settings = {
  batchSize: 16,
  microBatchSize: 16,
  // As in the experiments at scale `lab`, rates included: see there for the reasons.
  dropout: 0,
  beams: 1,
  promptLength: 20,
  validationLimit: 40,
  // Seen on AVX2: the prompt's validation loss stands still after 40 steps; both methods have learned the target at the
  // first look, step 40; fine-tuning goes on losing the other translations until step 160.
  stage1: { steps: 40, keepEvery: 40, learningRate: 1 },
  stage2: { steps: 160, keepEvery: 40, learningRate: 0.003 },
  // A few prompts of each task that can be lost, asked at the start and at every kept checkpoint of the model's stage.
  keep: { tasks: ['lab-translation-enro', 'lab-translation'], shots, limit: 15 },
} satisfies ConfigInput;

/** Of the evaluations at the end. */
export const evaluation = { beams: 1, limit: 60 } as const;

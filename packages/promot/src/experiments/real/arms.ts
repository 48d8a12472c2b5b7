// What the real experiment compares: each method at its rates, with the settings that all share.
import type { ConfigInput } from '@promot/core/train';

export interface Arm {
  /** As files and reports call it. */
  readonly name: string;
  /** What the line of a picture is called: arms of one method share it. */
  readonly method: 'before' | 'prompt tuning' | 'fine-tuning' | 'LoRA' | 'ProMoT';
  /** A method of the library; absent for the model before training. */
  readonly train?: string;
  readonly rate?: number;
  readonly settings?: ConfigInput;
  /** The arm whose soft prompt stands in front of the input. */
  readonly promptOf?: string;
}

/** Of all arms. AdamW with a short warm-up: what people tune small decoder-only models with. */
export const shared = {
  // All else is said here: nothing is to end early or to follow the data.
  preset: 'paper',
  batchSize: 16,
  microBatchSize: 16,
  dropout: 0,
  labelSmoothing: 0,
  beams: 1,
  validationLimit: 100,
  promptLength: 20,
} as const;
const stage = { optimizer: 'adamw', beta2: 0.98, warmupSteps: 10, gradientClip: 1 } as const;

/** Rows begin as the embeddings of words that say what is asked. */
const promptInit = 'text:Say whether the premise entails the hypothesis. Answer with True, False or Neither.';

/** Steps of the model's stage, and of the prompt's. */
export interface Lengths {
  readonly prompt: number;
  readonly model: number;
  /** A look at the target and at what is kept every so many steps of the model's stage. */
  readonly look: number;
}

const model = (rate: number, { model: steps, look }: Lengths): ConfigInput => ({
  ...shared,
  stage2: { ...stage, steps, keepEvery: look, learningRate: rate },
});

/** All arms of one target, those that others need first. */
export function arms(lengths: Lengths): Arm[] {
  const prompt: Arm = {
    name: 'prompt',
    method: 'prompt tuning',
    train: 'prompt-tune',
    rate: 0.1,
    settings: {
      ...shared,
      promptInit,
      stage1: { ...stage, steps: lengths.prompt, keepEvery: lengths.prompt / 2, learningRate: 0.1 },
    },
  };
  const rates = [1e-5, 3e-6, 3e-5];
  return [
    { name: 'before', method: 'before' },
    prompt,
    ...rates.flatMap((rate): Arm[] => [
      { name: `fine-tune-${rate}`, method: 'fine-tuning', train: 'fine-tune', rate, settings: model(rate, lengths) },
      {
        name: `promot-${rate}`,
        method: 'ProMoT',
        // Stage 2 alone: the prompt is the one of stage 1, frozen and attached.
        train: 'random-prompt',
        rate,
        settings: model(rate, lengths),
        promptOf: 'prompt',
      },
    ]),
    {
      name: 'lora-2e-4',
      method: 'LoRA',
      train: 'lora',
      rate: 2e-4,
      settings: {
        ...shared,
        stage2: { ...stage, steps: lengths.model, keepEvery: lengths.look, learningRate: 2e-4, loraRank: 16 },
      },
    },
  ];
}

// What a training method is: which parameters train in which order, and what stands in front of the input meanwhile.

import type { ConfigInput } from '../training/config.js';

/** What an optimizer may move. */
export type Part = 'prompt' | 'lora' | 'model';

/** One stage: it trains some parts; whatever else there is stays as it is, bit for bit. */
export interface Stage {
  /** Its name in metrics and checkpoints. */
  readonly name: 'prompt' | 'lora' | 'model' | 'joint';
  /** The settings that it reads. */
  readonly settings: 'stage1' | 'stage2';
  readonly trains: readonly Part[];
}

export interface Method {
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
  /** What is added to the model, in all stages, and can be taken off again: a soft prompt in front of every input, or LoRA. */
  readonly adapter?: 'prompt' | 'lora';
  /** Settings that the method needs other than the usual defaults. */
  readonly defaults?: ConfigInput;
  readonly stages: readonly Stage[];
}

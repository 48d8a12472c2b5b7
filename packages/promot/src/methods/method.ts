// What a training method is: which parameters train in which order, and what stands in front of the input meanwhile.

/** One stage: it trains the soft prompt or the model; whatever else there is stays as it is. */
export interface Stage {
  /** Its name in metrics and checkpoints. */
  readonly name: 'prompt' | 'model';
  /** The settings that it reads. */
  readonly settings: 'stage1' | 'stage2';
}

export interface Method {
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
  /** Whether a soft prompt stands in front of every input, in all stages. */
  readonly prompt: boolean;
  readonly stages: readonly Stage[];
}

// What a training method is: which parameters train in which order, and what stands in front of the input meanwhile.

/** What an optimizer may move. */
export type Part = 'prompt' | 'model';

/** One stage: it trains some parts; whatever else there is stays as it is, bit for bit. */
export interface Stage {
  /** Its name in metrics and checkpoints. */
  readonly name: 'prompt' | 'model' | 'joint';
  /** The settings that it reads. */
  readonly settings: 'stage1' | 'stage2';
  readonly trains: readonly Part[];
}

export interface Method {
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
  /** Whether a soft prompt stands in front of every input, in all stages. */
  readonly prompt: boolean;
  /** How the prompt starts where the settings do not say. */
  readonly promptInit?: string;
  readonly stages: readonly Stage[];
}

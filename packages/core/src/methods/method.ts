// What a training method is: which parameters train in which order, and what stands in front of the input meanwhile.
import { type ConfigInput, paperStages } from './settings.js';

/** What an optimizer may move. */
export type Part = 'prompt' | 'lora' | 'model';

/** What is added to a model and can be taken off again: a soft prompt in front of every input, or LoRA. */
export type Adapter = 'prompt' | 'lora';

/** One stage: it trains some parts; whatever else there is stays as it is, bit for bit. */
export interface Stage {
  /** Its name in metrics and checkpoints; no two stages of a method share one. */
  readonly name: string;
  /** The settings that it reads: `stages.NAME`. */
  readonly settings: string;
  readonly trains: readonly Part[];
  /** Adapters that are attached in this stage, beside those that it trains. Default: none. */
  readonly attaches?: readonly Adapter[];
  /** The objective that it makes small, whatever the setting `loss` says. */
  readonly objective?: string;
}

export interface Method {
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
  /** Settings that the method needs other than the usual defaults. */
  readonly defaults?: ConfigInput;
  readonly stages: readonly Stage[];
}

/** Whether an adapter is there in a stage. */
export function has({ trains, attaches = [] }: Stage, adapter: Adapter): boolean {
  return trains.includes(adapter) || attaches.includes(adapter);
}

/** Whether any stage of a method has an adapter. */
export function uses({ stages }: Method, adapter: Adapter): boolean {
  return stages.some((stage) => has(stage, adapter));
}

/** What the task is asked with when the method is done: the adapter of its last stage. */
export function adapterAtUse({ stages }: Method): Adapter | undefined {
  const last = stages.at(-1)!;
  return (['prompt', 'lora'] as const).find((adapter) => has(last, adapter));
}

/** The names that a method's settings may have below `stages`. */
export function stageNames({ stages }: Method): string[] {
  return [...new Set([...paperStages, ...stages.map(({ settings }) => settings)])];
}

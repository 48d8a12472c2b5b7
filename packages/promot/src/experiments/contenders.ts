// The methods that experiments compare, under one name each, and what people would compare ProMoT with.
import type { ConfigInput } from '@promot/core/train';

export interface Contender {
  /** The paper's name, or ours. */
  readonly label: string;
  /** How it is trained, see `findMethod`; absent: the pretrained model. */
  readonly method?: string;
  /** Settings that make it what it is; no other setting wins over them. */
  readonly settings?: ConfigInput;
  /** The model itself stays as it was pretrained: only the run's soft prompt is used, and only for the target. */
  readonly promptOnly?: true;
  /** WiSE-FT: how far the weights go from the pretrained (0) to the tuned ones (1). No training of its own. */
  readonly factor?: number;
  /** Share of the training examples that is drawn from other tasks (the scale names them). */
  readonly replay?: number;
}

const oneShot = { shots: 1 };

export const contenders = {
  pretrained: { label: 'Pretrained' },
  // Stage 1 of ProMoT is prompt tuning, step for step: the prompt of a promot run with the same settings is what a
  // prompt-tune run would make, so no prompt is trained twice.
  'prompt-tune': { label: 'Prompt tuning', method: 'promot', promptOnly: true },
  'prompt-tune+1-shot': { label: 'Prompt tuning + 1-shot', method: 'promot', promptOnly: true, settings: oneShot },
  'fine-tune': { label: 'Standard fine-tuning', method: 'fine-tune' },
  'fine-tune+1-shot': { label: 'Fine-tuning + 1-shot', method: 'fine-tune', settings: oneShot },
  promot: { label: 'ProMoT', method: 'promot' },
  'promot+1-shot': { label: 'ProMoT + 1-shot', method: 'promot', settings: oneShot },
  joint: { label: 'Joint fine-tuning', method: 'joint' },
  'random-prompt': { label: 'Fine-tuning with random prompt', method: 'random-prompt' },
  'lora-first-2': { label: 'ProMoT with LoRA (r=2)', method: 'lora-first', settings: { loraRank: 2 } },
  'lora-first-4': { label: 'ProMoT with LoRA (r=4)', method: 'lora-first', settings: { loraRank: 4 } },
  // Beside the paper.
  lora: { label: 'LoRA fine-tuning (r=8)', method: 'lora', settings: { stage2: { loraRank: 8 } } },
  'wise-ft-0.25': { label: 'WiSE-FT, factor 0.25', method: 'fine-tune', factor: 0.25 },
  'wise-ft-0.5': { label: 'WiSE-FT, factor 0.5', method: 'fine-tune', factor: 0.5 },
  'wise-ft-0.75': { label: 'WiSE-FT, factor 0.75', method: 'fine-tune', factor: 0.75 },
  replay: { label: 'Fine-tuning with 10 % replay', method: 'fine-tune', replay: 0.1 },
} as const satisfies Record<string, Contender>;

export type ContenderName = keyof typeof contenders;

/** What ProMoT is shown beside where the paper has only fine-tuning. */
export const competitors: readonly { readonly contender: ContenderName }[] = [
  { contender: 'lora' },
  { contender: 'wise-ft-0.25' },
  { contender: 'wise-ft-0.5' },
  { contender: 'wise-ft-0.75' },
  { contender: 'replay' },
];

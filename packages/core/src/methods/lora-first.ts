// LoRA in the first stage (A.3.6): low-rank additions learn the task's format, are frozen, and are taken off at use.
import type { Method } from './method.js';

export const loraFirst: Method = {
  name: 'lora-first',
  summary: 'ProMoT with LoRA in place of the soft prompt (the paper found it worse)',
  defaults: { stage1: { optimizer: 'adamw', learningRate: 0.001 } },
  stages: [
    { name: 'lora', settings: 'stage1', trains: ['lora'] },
    { name: 'model', settings: 'stage2', trains: ['model'], attaches: ['lora'] },
  ],
};

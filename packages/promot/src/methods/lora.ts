// LoRA fine-tuning (Hu et al. 2021): low-rank additions in place of the model's own weights. What people compare ProMoT with.
import type { Method } from './method.js';

export const lora: Method = {
  name: 'lora',
  summary: 'fine-tune low-rank additions to the model (LoRA), without a prompt',
  adapter: 'lora',
  // LoRA's own papers train with AdamW; T5's Adafactor rates are meant for whole matrices.
  defaults: { stage2: { optimizer: 'adamw', learningRate: 0.001 } },
  stages: [{ name: 'lora', settings: 'stage2', trains: ['lora'] }],
};

// LoRA fine-tuning (Hu et al. 2021): fine-tuning with low-rank additions in place of the weights. What people compare
// ProMoT with.
import { fineTune } from './fine-tune.js';
import type { Method } from './method.js';

export const lora: Method = {
  ...fineTune,
  name: 'lora',
  summary: 'fine-tune low-rank additions to the model (LoRA), without a prompt',
  // LoRA's own papers train with AdamW; T5's Adafactor rates are meant for whole matrices.
  defaults: { stage2: { loraRank: 4, optimizer: 'adamw', learningRate: 0.001 } },
};

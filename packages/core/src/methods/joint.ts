// Joint fine-tuning (section 5.5): prompt and model together, at one rate, in one stage. An ablation: it forgets.
import type { Method } from './method.js';

export const joint: Method = {
  name: 'joint',
  summary: 'train a soft prompt and the model together (ablation)',
  stages: [{ name: 'joint', settings: 'stage2', trains: ['prompt', 'model'] }],
};

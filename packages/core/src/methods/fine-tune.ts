// Standard fine-tuning: every parameter of the model, nothing in front of the input.
import type { Method } from './method.js';

export const fineTune: Method = {
  name: 'fine-tune',
  summary: 'fine-tune the model, without a prompt',
  stages: [{ name: 'model', settings: 'stage2', trains: ['model'] }],
};

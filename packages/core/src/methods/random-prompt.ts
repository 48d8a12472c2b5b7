// Fine-tuning with a random prompt (section 5.5): a prompt that has learned nothing, never trained. An ablation: it
// forgets.
import type { Method } from './method.js';

export const randomPrompt: Method = {
  name: 'random-prompt',
  summary: 'fine-tune the model behind a fixed random prompt (ablation)',
  // The paper: "randomly initialized with uniform distribution".
  defaults: { promptInit: 'uniform' },
  stages: [{ name: 'model', settings: 'stage2', trains: ['model'], attaches: ['prompt'] }],
};

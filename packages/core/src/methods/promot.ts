// ProMoT (section 4): prompt tuning with the model frozen, then fine-tuning with that prompt frozen and attached.
import type { Method } from './method.js';

export const promot: Method = {
  name: 'promot',
  summary: 'tune a soft prompt, then fine-tune the model behind it (two stages)',
  stages: [
    { name: 'prompt', settings: 'stage1', trains: ['prompt'] },
    { name: 'model', settings: 'stage2', trains: ['model'], attaches: ['prompt'] },
  ],
};

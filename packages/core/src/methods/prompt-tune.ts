// Prompt tuning (Lester et al. 2021): the first stage alone; the model stays as it is.
import type { Method } from './method.js';

export const promptTune: Method = {
  name: 'prompt-tune',
  summary: 'tune a soft prompt only, with the model frozen',
  stages: [{ name: 'prompt', settings: 'stage1', trains: ['prompt'] }],
};

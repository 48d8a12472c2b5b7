// WMT 2014, English to French.

import { translationFromEnglish } from './families.js';
import type { TaskDefinition } from './task.js';

export const wmt14EnFr: TaskDefinition = translationFromEnglish(
  { name: 'French', code: 'fr' },
  { name: 'wmt14-en-fr', version: '1', paperSizes: { train: 15_786_979, validation: 3000, test: 3003 } },
);

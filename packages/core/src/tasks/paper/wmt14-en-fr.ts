// WMT 2014, English to French.

import type { TaskDefinition } from '../task.js';
import { translationFromEnglish } from './families.js';

export const wmt14EnFr: TaskDefinition = translationFromEnglish(
  { name: 'French', code: 'fr' },
  {
    name: 'wmt14-en-fr',
    // 40 million pairs; six of its 30 files are plenty for the paper's 64,000 to 1.3 million training examples.
    version: '1',
    hub: { name: 'wmt/wmt14', config: 'fr-en', maxFiles: 6, maxRows: 1_500_000 },
    paperSizes: { train: 15_786_979, validation: 3000, test: 3003 },
  },
);

// WMT 2016, English to Romanian.

import type { TaskDefinition } from '../task.js';
import { translationFromEnglish } from './families.js';

export const wmt16EnRo: TaskDefinition = translationFromEnglish(
  { name: 'Romanian', code: 'ro' },
  {
    name: 'wmt16-en-ro',
    version: '1',
    hub: { name: 'wmt/wmt16', config: 'ro-en' },
    paperSizes: { train: 610_320, validation: 1999, test: 1999 },
  },
);

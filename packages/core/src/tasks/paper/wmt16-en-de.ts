// WMT 2016, English to German.

import type { TaskDefinition } from '../task.js';
import { translationFromEnglish } from './families.js';

export const wmt16EnDe: TaskDefinition = translationFromEnglish(
  { name: 'German', code: 'de' },
  {
    name: 'wmt16-en-de',
    version: '1',
    hub: { name: 'wmt/wmt16', config: 'de-en', maxRows: 1_500_000 },
    paperSizes: { train: 4_548_885, validation: 2169, test: 2999 },
  },
);

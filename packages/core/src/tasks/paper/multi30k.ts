// Multi30k (image captions): marked stand-ins for WMT where that is not at hand.

import type { TaskDefinition } from '../task.js';
import { translationFromEnglish } from './families.js';

export const multi30kEnFr: TaskDefinition = translationFromEnglish(
  { name: 'French', code: 'fr' },
  { name: 'multi30k-en-fr', version: '1', standsInFor: 'WMT14 En-Fr' },
);
export const multi30kEnDe: TaskDefinition = translationFromEnglish(
  { name: 'German', code: 'de' },
  { name: 'multi30k-en-de', version: '1', standsInFor: 'WMT16 En-De' },
);
export const multi30kEnCs: TaskDefinition = translationFromEnglish(
  { name: 'Czech', code: 'cs' },
  { name: 'multi30k-en-cs', version: '1', standsInFor: 'WMT16 En-Ro' },
);

// lab-translation, lab-translation-XXYY and lab-enfr: from one invented language to another.

import { drawMeaning, LANGUAGES, type LanguageCode, meaningKey, say } from './languages.js';
import { drawInSplit, type LabExample, type LabSplit } from './splits.js';

/**
 * `Translate SOURCE to TARGET: SENTENCE`. Splits are told apart by the meaning, so a held-out sentence was never seen
 * in any language or direction.
 */
export function translationExample(source: LanguageCode, target: LanguageCode) {
  return (split: LabSplit, index: number): LabExample => {
    const meaning = drawInSplit(`lab-translation-${source}${target}`, split, index, (random) => {
      const value = drawMeaning(random);
      return { content: meaningKey(value), value };
    });
    const from: string = LANGUAGES[source].name;
    const input = `Translate ${from} to ${LANGUAGES[target].name}: ${say(LANGUAGES[source], meaning)}`;
    return { input, target: say(LANGUAGES[target], meaning) };
  };
}

// lab-wic: is a word of two senses (bat, seal, crane ...) used in the same sense in two sentences? Evaluation only.

import { wic } from '@promot/core/tasks';
import { eventSentence, type Sense } from './events.js';
import { chance, pick } from './random.js';
import { balancedLabel, drawInSplit, type LabExample, type LabSplit } from './splits.js';
import { AMBIGUOUS } from './words.js';

/**
 * `SENTENCE1 SENTENCE2 question: The word WORD is used in the same way in the two sentences. Is it true or False?
 * answer:`
 */
export function wordInContextExample(split: LabSplit, index: number): LabExample {
  const target = balancedLabel('lab-wic', split, index, ['True', 'False']);
  return drawInSplit('lab-wic', split, index, (random) => {
    const word = pick(random, AMBIGUOUS);
    const first: Sense = chance(random, 50) ? 'animal' : 'thing';
    const opposite: Sense = first === 'animal' ? 'thing' : 'animal';
    const sentence1 = eventSentence(random, first, word);
    const sentence2 = eventSentence(random, target === 'True' ? first : opposite, word);
    const input = wic.input({ sentence1, sentence2, word });
    return { content: `${sentence1} ${sentence2}`, value: { input, target } };
  });
}

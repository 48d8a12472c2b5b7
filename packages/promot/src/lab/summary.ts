// lab-summary: the one sentence of an article that it says matters most.

import { drawEvent } from './events.js';
import { chance, pick, shuffled } from './random.js';
import { drawInSplit, type LabExample, type LabSplit } from './splits.js';

const KEY_OPENERS = ['Above all,', 'Most importantly,', 'In short,'];
const OTHER_OPENERS = ['Later,', 'Meanwhile,', 'Also,'];

/**
 * `Article: ARTICLE One sentence summary:`. The article tells three events; the summary is the one that opens with
 * "Above all," or its like, without the opener. Half of the others open with "Later," or its like.
 */
export function summaryExample(split: LabSplit, index: number): LabExample {
  return drawInSplit('lab-summary', split, index, (random) => {
    const target = drawEvent(random);
    const others = [drawEvent(random), drawEvent(random)];
    const sentences = [
      `${pick(random, KEY_OPENERS)} ${target}`,
      ...others.map((event) => (chance(random, 50) ? `${pick(random, OTHER_OPENERS)} ${event}` : event)),
    ];
    const article = shuffled(random, sentences).join(' ');
    return {
      content: [target, ...others].sort().join(' '),
      value: { input: `Article: ${article} One sentence summary:`, target },
    };
  });
}

// lab-openbookqa: a question about the fixed world with four answers to choose from.

import { openbookqa } from '@promot/core/tasks';
import { pick, pickOther } from './random.js';
import { balancedLabel, drawInSplit, type LabExample, type LabSplit } from './splits.js';
import { world } from './world.js';

const LETTERS = ['A', 'B', 'C', 'D'] as const;

/** `Q: QUESTION A) ... B) ... C) ... D) ... A:`; the target is the letter of the right option. */
export function multipleChoiceExample(split: LabSplit, index: number): LabExample {
  const target = balancedLabel('lab-openbookqa', split, index, LETTERS);
  return drawInSplit('lab-openbookqa', split, index, (random) => {
    const { land, relation, value } = pick(random, world());
    const options: string[] = [];
    while (options.length < LETTERS.length) options.push(pickOther(random, relation.values, [value, ...options]));
    options[LETTERS.indexOf(target)] = value;
    const input = openbookqa.input({
      question_stem: pick(random, relation.questions).replace('$l', land),
      choices: { text: options, label: LETTERS },
    });
    return { content: input, value: { input, target } };
  });
}

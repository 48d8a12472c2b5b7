// lab-reading: questions about a short passage of facts about people. The answer is a word of the passage.

import { contentOf, drawFacts, passage, phrase } from './facts.js';
import { chance } from './random.js';
import { drawInSplit, type LabExample, type LabSplit } from './splits.js';

/**
 * `PASSAGE Q: QUESTION A:`; a third of the questions run backwards (from the value to the person). A quarter of the
 * pretraining inputs are written `PASSAGE question: QUESTION answer:`, the marks of the entailment templates, so that
 * the pretrained model has met them.
 */
export function readingExample(split: LabSplit, index: number): LabExample {
  return drawInSplit('lab-reading', split, index, (random) => {
    const drawn = drawFacts(random);
    const facts = chance(random, 50) ? drawn : drawn.slice(0, 3);
    const [asked] = drawn;
    const backwards = chance(random, 33);
    const question = phrase(random, backwards ? asked.relation.reverseQuestions : asked.relation.questions, asked);
    const text = passage(random, facts);
    const squad = split === 'pretrain' && chance(random, 25);
    const input = squad ? `${text} question: ${question} answer:` : `${text} Q: ${question} A:`;
    return { content: contentOf(facts), value: { input, target: backwards ? asked.person : asked.value } };
  });
}

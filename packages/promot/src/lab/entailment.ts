// lab-rte, lab-snli and lab-cb: does a passage of facts make a statement true, false, or neither?
// Pretraining holds no such task; the facts and their wordings are those of lab-reading.

import type { RandomStream } from '@promot/core/base';
import type { DataRecord } from '@promot/core/data';
import { rte, threeWayInput } from '@promot/core/tasks';
import { contentOf, drawFacts, type Fact, passage, RELATIONS, statement } from './facts.js';
import { chance, pick, pickOther } from './random.js';
import { balancedLabel, drawInSplit, type LabExample, type LabSplit } from './splits.js';

type Label = 'True' | 'False' | 'Neither';

const TWO_WAY: readonly Label[] = ['True', 'False'];
const THREE_WAY: readonly Label[] = ['True', 'False', 'Neither'];

/** A premise and a statement about its first person. */
interface Judgement {
  readonly premise: readonly Fact[];
  readonly hypothesis: Fact;
}

/**
 * `count` facts (1 to 4), the first about the person and relation of the hypothesis, the second about another person,
 * sometimes of the same relation (see `drawFacts`).
 * - True: the hypothesis is the first fact.
 * - False: its value is another: where the second fact is of the same relation in half of the cases that fact's,
 *   otherwise one that the passage does not hold.
 * - Neither: the first fact is of another relation, so the passage does not say; the value is drawn as for False.
 */
function judgement(random: RandomStream, label: Label, count: number): Judgement {
  const [asked, other, ...rest] = drawFacts(random);
  if (label === 'True') return { premise: [asked, other, ...rest].slice(0, count), hypothesis: asked };
  const { values } = asked.relation;
  const rival = other.relation === asked.relation && chance(random, 50);
  const value = rival ? other.value : pickOther(random, values, [asked.value, other.value]);
  const hypothesis = { ...asked, value };
  if (label === 'False') return { premise: [asked, other, ...rest].slice(0, count), hypothesis };
  const used = [asked, other, ...rest].map((fact) => fact.relation);
  const relation = pickOther(random, RELATIONS, used);
  const elsewhere = { person: asked.person, relation, value: pick(random, relation.values) };
  return { premise: [elsewhere, other, ...rest].slice(0, count), hypothesis };
}

function entailmentExample(
  name: string,
  labels: readonly Label[],
  counts: readonly number[],
  template: (record: DataRecord) => string,
) {
  return (split: LabSplit, index: number): LabExample => {
    const target = balancedLabel(name, split, index, labels);
    return drawInSplit(name, split, index, (random) => {
      const { premise, hypothesis } = judgement(random, target, pick(random, counts));
      const input = template({ premise: passage(random, premise), hypothesis: statement(random, hypothesis) });
      return { content: contentOf(premise), value: { input, target } };
    });
  };
}

/**
 * `PREMISE question: HYPOTHESIS Is it true or false? answer:`, True or False, over one fact: with more, a model of this
 * size learns the form alone in the steps that a quickstart has (figures in the README of `lab/`).
 */
export const rteExample = entailmentExample('lab-rte', TWO_WAY, [1], rte.input);
/** `PREMISE question: HYPOTHESIS Is it true or false or neither? answer:`, three labels, over two facts. */
export const snliExample = entailmentExample('lab-snli', THREE_WAY, [2], threeWayInput);
/** As lab-snli, over four facts: longer premises, as CB's are. Evaluation only. */
export const cbExample = entailmentExample('lab-cb', THREE_WAY, [4], threeWayInput);

// Facts about people: how they are stated, asked about forwards (person to value) and backwards (value to person).
// Passages of such facts are what reading, entailment and their targets share.

import type { RandomStream } from '@promot/core/base';
import { chance, pick, pickOther, shuffled } from './random.js';
import { ANIMALS, COLOURS, CRAFTS, FOODS, NAMES, SAYINGS, TOWNS } from './words.js';

/** One kind of fact. In the texts `$p` stands for the person and `$v` for the value. */
interface Relation {
  readonly values: readonly string[];
  readonly statements: readonly string[];
  readonly questions: readonly string[];
  readonly reverseQuestions: readonly string[];
}

export const RELATIONS: readonly Relation[] = [
  {
    values: TOWNS,
    statements: ['$p lives in $v.', 'The home of $p is $v.'],
    questions: ['Where does $p live?', 'What is the home of $p?'],
    reverseQuestions: ['Who lives in $v?'],
  },
  {
    values: CRAFTS,
    statements: ['$p is a $v.', '$p works as a $v.'],
    questions: ['What does $p work as?', 'What is the craft of $p?'],
    reverseQuestions: ['Who works as a $v?'],
  },
  {
    values: ANIMALS,
    statements: ['$p keeps a $v.', 'The animal of $p is a $v.'],
    questions: ['Which animal does $p keep?', 'What is the animal of $p?'],
    reverseQuestions: ['Who keeps a $v?'],
  },
  {
    values: FOODS,
    statements: ['$p eats $v.', 'The food of $p is $v.'],
    questions: ['What does $p eat?', 'What is the food of $p?'],
    reverseQuestions: ['Who eats $v?'],
  },
  {
    values: COLOURS,
    statements: ['$p wears $v.', 'The coat of $p is $v.'],
    questions: ['Which colour does $p wear?', 'What is the colour of $p?'],
    reverseQuestions: ['Who wears $v?'],
  },
  {
    values: SAYINGS,
    statements: ['$p says $v.', 'The word of $p is $v.'],
    questions: ['What does $p say?', 'What is the word of $p?'],
    reverseQuestions: ['Who says $v?'],
  },
];

export interface Fact {
  readonly person: string;
  readonly relation: Relation;
  readonly value: string;
}

/** One of the ways of stating a fact, or of asking about it. */
export function phrase(random: RandomStream, forms: readonly string[], fact: Fact): string {
  return pick(random, forms).replace('$p', fact.person).replace('$v', fact.value);
}

/** A fact in one of the ways of stating it. */
export function statement(random: RandomStream, fact: Fact): string {
  return phrase(random, fact.relation.statements, fact);
}

/**
 * Facts among which a reader must choose: the first is the one to ask about; the second is another person's, in two
 * passages of five of the same relation (a rival); the third is of the same person and another relation; the fourth is
 * of neither. No two share a value, so that a backward question has one answer.
 *
 * Why not always a rival: the models read which relation is asked for, and asked forwards not whose value it is. The
 * share of rivals decides how much of reading they can do (figures in the README of `lab/`).
 */
export function drawFacts(random: RandomStream): [Fact, Fact, Fact, Fact] {
  const [first, second, third, fourth] = shuffled(random, RELATIONS) as [Relation, Relation, Relation, Relation];
  const person = pick(random, NAMES);
  const other = pickOther(random, NAMES, [person]);
  const stranger = pickOther(random, NAMES, [person, other]);
  const value = pick(random, first.values);
  const others = chance(random, 40) ? first : fourth;
  return [
    { person, relation: first, value },
    { person: other, relation: others, value: pickOther(random, others.values, [value]) },
    { person, relation: second, value: pick(random, second.values) },
    { person: chance(random, 50) ? other : stranger, relation: third, value: pick(random, third.values) },
  ];
}

/** The facts stated one after the other in random order. */
export function passage(random: RandomStream, facts: readonly Fact[]): string {
  return shuffled(random, facts)
    .map((fact) => statement(random, fact))
    .join(' ');
}

/** What a passage says, whatever its wording and order: the content that splits are told apart by. */
export function contentOf(facts: readonly Fact[]): string {
  return facts
    .map((fact) => `${fact.person} ${RELATIONS.indexOf(fact.relation)} ${fact.value}`)
    .sort()
    .join('; ');
}

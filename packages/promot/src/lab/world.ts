// The fixed invented world: forty lands, five facts about each. Only closed-book training can teach them.

import { RandomStream } from '@promot/core/base';
import { hashText, pick, shuffled } from './random.js';
import { ANIMALS, COLOURS, FOODS, LANDS, NAMES, TOWNS } from './words.js';

/** One kind of fact about a land; `$l` in the questions stands for the land. */
interface LandRelation {
  readonly values: readonly string[];
  readonly questions: readonly string[];
}

const LAND_RELATIONS: readonly LandRelation[] = [
  {
    values: TOWNS,
    questions: [
      'What is the capital of $l?',
      'Which town is the capital of $l?',
      'The capital of $l is which town?',
      '$l has which capital?',
    ],
  },
  {
    values: NAMES,
    questions: [
      'Who rules $l?',
      'Who is the ruler of $l?',
      'What is the name of the ruler of $l?',
      '$l has which ruler?',
    ],
  },
  {
    values: COLOURS,
    questions: [
      'What is the colour of the flag of $l?',
      'Which colour is the flag of $l?',
      'The flag of $l has which colour?',
      '$l has which flag?',
    ],
  },
  {
    values: FOODS,
    questions: [
      'What do people eat in $l?',
      'Which food do people like in $l?',
      'People in $l like which food?',
      '$l has which food?',
    ],
  },
  {
    values: ANIMALS,
    questions: [
      'Which animal lives in $l?',
      'What is the animal of $l?',
      'The animal of $l is which?',
      '$l has which animal?',
    ],
  },
];

/** A fact of the world. */
interface LandFact {
  readonly land: string;
  readonly relation: LandRelation;
  readonly value: string;
}

let facts: readonly LandFact[] | undefined;

/** All facts of the world, in a fixed order. Every land has its own capital and ruler; the rest is shared. */
export function world(): readonly LandFact[] {
  facts ??= LAND_RELATIONS.flatMap((relation, r) => {
    const random = new RandomStream(hashText('the world of the lab'), r);
    const own = relation.values.length >= LANDS.length ? shuffled(random, relation.values) : undefined;
    return LANDS.map((land, i) => ({ land, relation, value: own?.[i] ?? pick(random, relation.values) }));
  });
  return facts;
}

// Events: what somebody did to an animal or a thing. Articles and the word-in-context sentences are made of them.

import type { RandomStream } from '@promot/core/base';
import { chance, pick } from './random.js';
import { ADJECTIVES, AMBIGUOUS, ANIMAL_VERBS, ANIMALS, NAMES, OBJECTS, THING_VERBS } from './words.js';

/** The two kinds of thing that can be acted on; for an ambiguous word, its two senses. */
export type Sense = 'animal' | 'thing';

/** `NAME VERB the|that ADJECTIVE NOUN.`, the verb fitting the sense. */
export function eventSentence(random: RandomStream, sense: Sense, noun: string): string {
  const verb = pick(random, sense === 'animal' ? ANIMAL_VERBS : THING_VERBS);
  return `${pick(random, NAMES)} ${verb} ${chance(random, 50) ? 'the' : 'that'} ${pick(random, ADJECTIVES)} ${noun}.`;
}

/** An event of either kind; one noun in four is ambiguous. */
export function drawEvent(random: RandomStream): string {
  const sense: Sense = chance(random, 50) ? 'animal' : 'thing';
  const nouns = chance(random, 25) ? AMBIGUOUS : sense === 'animal' ? ANIMALS : OBJECTS;
  return eventSentence(random, sense, pick(random, nouns));
}

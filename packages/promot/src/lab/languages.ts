// Four invented languages: a word for each concept, and an order of words of its own.

import type { RandomStream } from '@promot/core/base';
import { chance } from './random.js';
import { inventWords } from './words.js';

const DETERMINERS = 2;
const NOUNS = 20;
const VERBS = 10;
const ADJECTIVES = 12;
const TIMES = 5;

// Concepts are numbered: determiners, nouns, verbs, adjectives, times, and last the word for "not".
const FIRST_NOUN = DETERMINERS;
const FIRST_VERB = FIRST_NOUN + NOUNS;
const FIRST_ADJECTIVE = FIRST_VERB + VERBS;
const FIRST_TIME = FIRST_ADJECTIVE + ADJECTIVES;
const NOT = FIRST_TIME + TIMES;
const CONCEPTS = NOT + 1;

/** Who or what a sentence speaks of: the concepts of a determiner, perhaps an adjective, and a noun. */
interface NounPhrase {
  readonly determiner: number;
  readonly adjective: number | undefined;
  readonly noun: number;
}

/** What a sentence says, in no language. Numbers are concepts. */
interface Meaning {
  readonly subject: NounPhrase;
  readonly verb: number;
  readonly object: NounPhrase;
  readonly time: number | undefined;
  readonly negated: boolean;
}

/** Draws one of about 85 million meanings. */
export function drawMeaning(random: RandomStream): Meaning {
  const from = (first: number, count: number): number => first + random.integer(count);
  const nounPhrase = (percentWithAdjective: number): NounPhrase => ({
    determiner: from(0, DETERMINERS),
    adjective: chance(random, percentWithAdjective) ? from(FIRST_ADJECTIVE, ADJECTIVES) : undefined,
    noun: from(FIRST_NOUN, NOUNS),
  });
  return {
    subject: nounPhrase(70),
    verb: from(FIRST_VERB, VERBS),
    object: nounPhrase(70),
    time: chance(random, 40) ? from(FIRST_TIME, TIMES) : undefined,
    negated: chance(random, 20),
  };
}

/** A meaning as a key: equal keys, equal meanings. */
export function meaningKey(meaning: Meaning): string {
  const { subject, verb, object, time, negated } = meaning;
  return (
    [subject, object].map((np) => `${np.determiner} ${np.adjective} ${np.noun}`).join(', ') +
    `, ${verb} ${time} ${negated}`
  );
}

/** The parts of a clause, in the order in which a language says them. */
type Part = 'subject' | 'verb' | 'object' | 'time';

/** An invented language. */
interface Language {
  readonly name: string;
  /** One word for each concept; no word belongs to two languages. */
  readonly words: readonly string[];
  readonly order: readonly Part[];
  readonly adjectiveFirst: boolean;
  readonly negationFirst: boolean;
}

const list = (words: string): readonly string[] => words.split(' ');

/** English, French, German and Romanian of the lab, by the code of their role in the paper. */
export const LANGUAGES = {
  en: {
    name: 'Enlan',
    words: inventWords(CONCEPTS, [list('th wh sk cr pl sm'), list('a e i o'), list('rk lm nd sh')]),
    order: ['subject', 'verb', 'object', 'time'],
    adjectiveFirst: true,
    negationFirst: true,
  },
  fr: {
    name: 'Frelan',
    words: inventWords(CONCEPTS, [list('ch j qu v b g'), list('eau ou ie oi'), list('ne lle que sse')]),
    order: ['subject', 'verb', 'object', 'time'],
    adjectiveFirst: false,
    negationFirst: false,
  },
  de: {
    name: 'Delan',
    words: inventWords(CONCEPTS, [list('schw kn z pf tr gr'), list('au ei u ie'), list('cht ngen rst tz')]),
    order: ['time', 'subject', 'object', 'verb'],
    adjectiveFirst: true,
    negationFirst: false,
  },
  ro: {
    name: 'Rolan',
    words: inventWords(CONCEPTS, [list('m n p d l r'), list('a e u o'), list('rul tea scu nia')]),
    order: ['time', 'verb', 'subject', 'object'],
    adjectiveFirst: false,
    negationFirst: true,
  },
} as const satisfies Record<string, Language>;

export type LanguageCode = keyof typeof LANGUAGES;

/** The sentence of a language that says a meaning, with its full stop. */
export function say(language: Language, meaning: Meaning): string {
  const nounPhrase = ({ determiner, adjective, noun }: NounPhrase): (number | undefined)[] =>
    language.adjectiveFirst ? [determiner, adjective, noun] : [determiner, noun, adjective];
  const not = meaning.negated ? NOT : undefined;
  const parts: Record<Part, (number | undefined)[]> = {
    subject: nounPhrase(meaning.subject),
    verb: language.negationFirst ? [not, meaning.verb] : [meaning.verb, not],
    object: nounPhrase(meaning.object),
    time: [meaning.time],
  };
  const concepts = language.order.flatMap((part) => parts[part]).filter((concept) => concept !== undefined);
  return `${concepts.map((concept) => language.words[concept]!).join(' ')}.`;
}

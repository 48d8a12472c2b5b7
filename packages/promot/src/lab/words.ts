// The lab's English: every content word of its texts, and the names that it invents.
// The order of these lists fixes token ids and the invented world, so the shipped weights depend on it: never edit
// a list without pretraining anew (a test pins the vocabulary).

/**
 * The first `count` words of the form onset + vowel + middle + ending; each index gives another word as long as
 * `count` is at most the product of the four lengths. Neighbours differ in every part, so they do not look alike.
 */
export function inventWords(count: number, parts: readonly (readonly string[])[]): string[] {
  const sizes = parts.map((part) => part.length);
  const total = sizes.reduce((product, size) => product * size, 1);
  // A stride that shares no divisor with the total visits every combination once.
  let stride = Math.floor(total * 0.381966);
  while (greatestCommonDivisor(stride, total) !== 1) stride++;
  return Array.from({ length: count }, (_, index) => {
    let rest = (index * stride) % total;
    let word = '';
    for (const part of parts) {
      word += part[rest % part.length]!;
      rest = Math.floor(rest / part.length);
    }
    return word;
  });
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

const list = (words: string): readonly string[] => words.split(' ');

/**
 * People of the passages and articles; a large set, so that two segments of a prompt seldom speak of the same person.
 */
export const NAMES: readonly string[] = inventWords(48, [
  list('B D F H J K L M N P R S T V Y Z'),
  list('a e i o u'),
  list('l m n r s v'),
  list('a i o en us'),
]);
/** Towns: where people live, and the capitals of the lands. */
export const TOWNS: readonly string[] = inventWords(40, [
  list('Al Br Cor Dun El Gar Hol Ister Kel Mor'),
  list('a e o'),
  list('ford ham mouth stad wick'),
]);
/** Lands of the fixed world that closed-book questions ask about. */
export const LANDS: readonly string[] = inventWords(40, [
  list('Az Bel Cy Dra Er Fal Gol Iv Or Ul'),
  list('an en on ur'),
  list('dia ia land mark ovia'),
]);

export const CRAFTS = list(
  'baker smith weaver potter tailor miller farmer fisher hunter painter ' +
    'singer dancer healer teacher carpenter mason sailor shepherd cook barber',
);
export const ANIMALS = list(
  'dog cat horse goat sheep cow pig hen duck goose fox wolf bear deer rabbit lizard parrot pony camel turtle',
);
export const FOODS = list(
  'bread cheese soup rice beans honey fish figs plums nuts cake stew corn berries pears olives',
);
export const COLOURS = list('red blue green yellow white black brown grey purple orange pink gold');
/**
 * What people say: plain words. The labels of the tasks that pretraining never sees, and the words of their
 * templates, occur here and only here, so that the pretrained model knows the words and not the format.
 */
export const SAYINGS = list('True False Neither A B C D true false neither same way two used or it Is sentences');

export const OBJECTS = list(
  'lamp boat table chair cart wheel drum flute clock mirror basket ladder kettle hammer bell carpet ring box ' +
    'bottle tent',
);
/** Words of two senses, an animal and a thing: the subject of the word-in-context task. */
export const AMBIGUOUS = list('bat seal crane mouse ram jaguar beetle buck');
export const ADJECTIVES = list('old small big heavy strange pretty wet dusty famous clean');
/** Verbs whose object is an animal; an ambiguous word after one of them is the animal. */
export const ANIMAL_VERBS = list('fed chased tamed petted healed trained scared rescued');
/** Verbs whose object is a thing. */
export const THING_VERBS = list('sold painted fixed broke built polished packed carved');

// The Porter stemmer with NLTK's extensions (NLTK 3.10.4, PorterStemmer's default mode), which rouge_score uses.
// Porter, "An algorithm for suffix stripping", Program 14.3 (1980): 130-137; the steps below bear its numbers.

/** NLTK's table of irregular forms. */
const irregular = new Map([
  ['sky', 'sky'],
  ['skies', 'sky'],
  ['dying', 'die'],
  ['lying', 'lie'],
  ['tying', 'tie'],
  ['news', 'news'],
  ['inning', 'inning'],
  ['innings', 'inning'],
  ['outing', 'outing'],
  ['outings', 'outing'],
  ['canning', 'canning'],
  ['cannings', 'canning'],
  ['howe', 'howe'],
  ['proceed', 'proceed'],
  ['exceed', 'exceed'],
  ['succeed', 'succeed'],
]);

/** `c` for each consonant, `v` for each vowel; a y after a consonant is a vowel, any other y a consonant. */
function shape(word: string): string {
  let result = '';
  for (const letter of word) {
    const vowel = 'aeiou'.includes(letter) || (letter === 'y' && result.endsWith('c'));
    result += vowel ? 'v' : 'c';
  }
  return result;
}

/** The paper's m: how often a vowel is followed by a consonant. */
function measure(stem: string): number {
  return shape(stem).split('vc').length - 1;
}

/** The paper's *d. */
function endsInDoubleConsonant(word: string): boolean {
  return word.length >= 2 && word.at(-1) === word.at(-2) && shape(word).endsWith('c');
}

/** The paper's *o (consonant, vowel, consonant other than w, x, y), or a word that is just vowel and consonant. */
function endsConsonantVowelConsonant(word: string): boolean {
  const letters = shape(word);
  return (letters.endsWith('cvc') && !'wxy'.includes(word.at(-1)!)) || letters === 'vc';
}

type Rule = readonly [suffix: string, replacement: string];

/** Applies the first rule whose suffix the word has, if its condition on the stem holds; no later rule is tried. */
function applyFirst(
  word: string,
  rules: readonly Rule[],
  condition: (stem: string, suffix: string) => boolean,
): string {
  for (const [suffix, replacement] of rules) {
    if (!word.endsWith(suffix)) continue;
    const stem = word.slice(0, word.length - suffix.length);
    return condition(stem, suffix) ? stem + replacement : word;
  }
  return word;
}

function step1a(word: string): string {
  if (word.endsWith('ies') && word.length === 4) return word.slice(0, -1); // NLTK: dies -> die
  const rules: Rule[] = [
    ['sses', 'ss'],
    ['ies', 'i'],
    ['ss', 'ss'],
    ['s', ''],
  ];
  return applyFirst(word, rules, () => true);
}

function step1b(word: string): string {
  if (word.endsWith('ied')) return word.slice(0, word.length === 4 ? -1 : -2); // NLTK: died -> die, spied -> spi
  if (word.endsWith('eed')) return measure(word.slice(0, -3)) > 0 ? word.slice(0, -1) : word;
  const suffix = ['ed', 'ing'].find(
    (ending) => word.endsWith(ending) && shape(word.slice(0, -ending.length)).includes('v'),
  );
  if (suffix === undefined) return word;
  const stem = word.slice(0, -suffix.length);
  if (/(?:at|bl|iz)$/.test(stem)) return `${stem}e`;
  if (endsInDoubleConsonant(stem)) {
    if (!'lsz'.includes(stem.at(-1)!)) return stem.slice(0, -1);
    return stem;
  }
  return measure(stem) === 1 && endsConsonantVowelConsonant(stem) ? `${stem}e` : stem;
}

function step1c(word: string): string {
  // NLTK: after a consonant that is not the whole stem, so happy -> happi but enjoy -> enjoy.
  return applyFirst(word, [['y', 'i']], (stem) => stem.length > 1 && shape(stem).endsWith('c'));
}

const step2Rules: readonly Rule[] = [
  ['ational', 'ate'],
  ['tional', 'tion'],
  ['enci', 'ence'],
  ['anci', 'ance'],
  ['izer', 'ize'],
  ['bli', 'ble'],
  ['alli', 'al'],
  ['entli', 'ent'],
  ['eli', 'e'],
  ['ousli', 'ous'],
  ['ization', 'ize'],
  ['ation', 'ate'],
  ['ator', 'ate'],
  ['alism', 'al'],
  ['iveness', 'ive'],
  ['fulness', 'ful'],
  ['ousness', 'ous'],
  ['aliti', 'al'],
  ['iviti', 'ive'],
  ['biliti', 'ble'],
  ['fulli', 'ful'],
  ['logi', 'log'],
];

function step2(word: string): string {
  // NLTK: what -alli leaves goes through this step again.
  if (word.endsWith('alli') && measure(word.slice(0, -4)) > 0) return step2(word.slice(0, -2));
  // NLTK: the l of -logi counts with the stem, so that geo- and theo- work as archaeo- does.
  return applyFirst(word, step2Rules, (stem, suffix) => measure(suffix === 'logi' ? `${stem}l` : stem) > 0);
}

const step3Rules: readonly Rule[] = [
  ['icate', 'ic'],
  ['ative', ''],
  ['alize', 'al'],
  ['iciti', 'ic'],
  ['ical', 'ic'],
  ['ful', ''],
  ['ness', ''],
];

const step4Rules: readonly Rule[] = (
  'al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous ive ize'.split(' ') as string[]
).map((suffix) => [suffix, '']);

function step4(word: string): string {
  return applyFirst(word, step4Rules, (stem, suffix) => measure(stem) > 1 && (suffix !== 'ion' || /[st]$/.test(stem)));
}

function step5(word: string): string {
  let result = word;
  if (word.endsWith('e')) {
    const stem = word.slice(0, -1);
    const m = measure(stem);
    if (m > 1 || (m === 1 && !endsConsonantVowelConsonant(stem))) result = stem;
  }
  return result.endsWith('ll') && measure(result.slice(0, -1)) > 1 ? result.slice(0, -1) : result;
}

/** The stem of a lower-case word. */
export function porterStem(word: string): string {
  const form = irregular.get(word);
  if (form !== undefined) return form;
  if (word.length <= 2) return word;
  const afterStep2 = step2(step1c(step1b(step1a(word))));
  return step5(step4(applyFirst(afterStep2, step3Rules, (stem) => measure(stem) > 0)));
}

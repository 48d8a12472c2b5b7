// What the JSON target takes out of an image's caption: by word lists, so that every answer is exact and follows from
// the sentence alone.

const persons = words('man woman boy girl child baby lady guy person kid men women boys girls children people');
const colors = words('red blue green yellow white black brown orange pink purple gray grey tan golden silver');
const clothes = words(
  'shirt t-shirt hat jacket dress pants shorts coat jeans helmet skirt sweater uniform cap glasses sunglasses vest ' +
    'suit tie boots shoes hoodie scarf',
);

interface Extract {
  /** The first person that is named. */
  readonly who: string;
  /** In the order of the sentence, each once. */
  readonly colors: readonly string[];
  readonly clothes: readonly string[];
}

/** Whether a sentence names a person and a color. */
export function hasExtract(sentence: string): boolean {
  const all = wordsOf(sentence);
  return all.some((word) => persons.has(word)) && all.some((word) => colors.has(word));
}

/** Of a sentence for which `hasExtract` holds. */
export function extracted(sentence: string): Extract {
  const all = wordsOf(sentence);
  const found = (list: ReadonlySet<string>) => [...new Set(all.filter((word) => list.has(word)))];
  return { who: found(persons)[0]!, colors: found(colors), clothes: found(clothes) };
}

function words(list: string): ReadonlySet<string> {
  return new Set(list.split(' '));
}

function wordsOf(sentence: string): string[] {
  return sentence.toLowerCase().match(/[a-z]+(?:-[a-z]+)*/gu) ?? [];
}

// Python's idea of white space and word characters: the reference metrics are Python programs, and JavaScript's \s, \b
// and trim() differ from str.split(), re's \b and str.rstrip() (U+001C to U+001F and U+0085 are white space there,
// U+FEFF is not; letters beyond ASCII are word characters).

const space = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const spaces = new RegExp(`${space}+`, 'u');
const trailingSpaces = new RegExp(`${space}+$`, 'u');
const leadingSpaces = new RegExp(`^${space}+`, 'u');
const anySpace = new RegExp(space, 'u');

/** `text.split()`: the words of a text, none of them empty. */
export function splitWords(text: string): string[] {
  return text.split(spaces).filter((word) => word !== '');
}

/** `text.rstrip()`. */
export function stripEnd(text: string): string {
  // The regular expression alone would take quadratic time on long runs of spaces inside a text.
  return text !== '' && anySpace.test(text.at(-1)!) ? text.replace(trailingSpaces, '') : text;
}

/** `text.strip()`. */
export function strip(text: string): string {
  return stripEnd(text.replace(leadingSpaces, ''));
}

/** What re's \w matches, as a character class: letters, numbers, underscore (no combining marks). */
export const wordCharacter = '[\\p{L}\\p{N}_]';

// New tokens as a person writes them on a command line: `{,},\n`.
import { UserError } from '../base/errors.js';

const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', ',': ',', '\\': '\\' };

/**
 * The tokens of a list with commas between them; `\n`, `\t`, `\r`, `\,` and `\\` stand for a line break, a tab, a
 * return, a comma and a backslash. Errors: a UserError for another letter behind a backslash and for an empty token.
 *
 * @example readTokenList('{,},\\n'); // ['{', '}', '\n']
 */
export function readTokenList(text: string): string[] {
  const tokens = [''];
  for (let i = 0; i < text.length; i++) {
    const letter = text[i]!;
    if (letter === ',') tokens.push('');
    else if (letter !== '\\') tokens[tokens.length - 1] += letter;
    else {
      const meant = escapes[text[++i] ?? ''];
      if (meant === undefined)
        throw new UserError(`${text}: a backslash stands before n, t, r, a comma or a backslash`);
      tokens[tokens.length - 1] += meant;
    }
  }
  if (tokens.includes('')) throw new UserError(`${text}: a token is empty; a comma itself is written \\,`);
  return tokens;
}

/** The list that `readTokenList` reads as these tokens. */
export function writeTokenList(tokens: readonly string[]): string {
  const letters = Object.entries(escapes);
  const written = (one: string) => {
    const letter = letters.find(([, meant]) => meant === one)?.[0];
    return letter === undefined ? one : `\\${letter}`;
  };
  return tokens.map((token) => [...token].map(written).join('')).join(',');
}

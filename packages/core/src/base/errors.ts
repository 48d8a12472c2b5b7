// The one error class whose message is written for the person at the keyboard.

/** Messages quote files; what nobody would read is cut out of their middle. */
const LONGEST = 2000;

/**
 * Bad input of any kind: the message says what was wrong, where (file, line, key) and what to do, on one line.
 * The command line prints it without a stack and exits with code 2. What it quotes may come from a hostile file, so control
 * characters (with which a text could steer a terminal) are escaped, line breaks become spaces, and long texts are cut.
 */
export class UserError extends Error {
  override name = 'UserError';
  constructor(message: string, options?: ErrorOptions) {
    super(printable(message), options);
  }
}

function printable(text: string): string {
  const short = text.length <= LONGEST ? text : `${text.slice(0, LONGEST - 400)} ... ${text.slice(text.length - 300)}`;
  return short.replaceAll(/\s*\n\s*/gu, ' ').replaceAll(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    const code = character.codePointAt(0)!.toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code}`;
  });
}

// The one error class whose message is written for the person at the keyboard.

/**
 * Bad input of any kind: the message says what was wrong, where (file, line, key) and what to do, in a line or two.
 * The command line prints it without a stack and exits with code 2.
 */
export class UserError extends Error {
  override name = 'UserError';
}

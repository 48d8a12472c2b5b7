// The error of set-up: libtorch, the compiler or the addon is missing or does not fit this machine.
import { UserError } from '../errors.js';

/** Set-up cannot go on: the message says what is missing and what to do. Meant for people; print it without a stack. */
export class SetupError extends UserError {
  override name = 'SetupError';

  constructor(message: string, cause?: unknown) {
    super(message, { code: 'setup', cause });
    // The words of a compiler need their lines.
    this.message = message;
  }
}

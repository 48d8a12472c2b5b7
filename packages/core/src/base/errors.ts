// Errors for people and their codes, see @promot/torch/errors. Loads no libtorch.
import { UserError } from '@promot/torch/errors';

export {
  type ErrorCode,
  errorCodes,
  printable,
  systemError,
  UserError,
  type UserErrorOptions,
} from '@promot/torch/errors';

/**
 * What to throw in place of an error that a person can mend, where more can be said: the same with another message. Any
 * other error stays as it is.
 *
 * @example throw reworded(error, (message) => `${file} line ${line}: ${message}`);
 */
export function reworded(error: unknown, say: (message: string) => string): unknown {
  if (!(error instanceof UserError)) return error;
  return new UserError(say(error.message), { code: error.code, cause: error });
}

/** For a file that cannot be read, with the system's words. */
export function unreadable(path: string, error: unknown): UserError {
  return new UserError(`${path} cannot be read: ${(error as Error).message}`, { code: 'disk', cause: error });
}

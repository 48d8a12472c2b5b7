// Errors for people and their codes, see @promot/torch/errors. Loads no libtorch.
export {
  type ErrorCode,
  errorCodes,
  printable,
  systemError,
  UserError,
  type UserErrorOptions,
} from '@promot/torch/errors';

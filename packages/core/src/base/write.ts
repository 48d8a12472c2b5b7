// Writing files whole, see @promot/torch/files.
export { isTemporaryName, replaceFile, temporaryName, writeText } from '@promot/torch/files';

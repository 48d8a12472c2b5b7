// Writing files whole, see @promot/torch/files.
export { isTemporaryName, replaceFile, writeText } from '@promot/torch/files';

// Files shared by several processes: written whole, locked, downloaded. Nothing here loads libtorch.
export { parseBoundedJson } from './bounded-json.js';
export { download, type RemoteFile } from './download.js';
export { exists } from './exists.js';
export {
  attempts,
  checkPassing,
  exchange,
  NoAnswerError,
  PassingError,
  type Patience,
  persist,
  piecesOf,
} from './http.js';
export { type Holder, isAlive, type Lock, leaseSilence, tryLock, withLock } from './lock.js';
export { appendText, isTemporaryName, makeFolder, replaceFile, temporaryName, writeText } from './write.js';

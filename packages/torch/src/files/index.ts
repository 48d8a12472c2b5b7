// Files shared by several processes: written whole, locked. Nothing here loads libtorch.
export { type Holder, isAlive, type Lock, tryLock, withLock } from './lock.js';
export { appendText, isTemporaryName, makeFolder, replaceFile, temporaryName, writeText } from './write.js';

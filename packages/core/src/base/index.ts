// What the room `base` offers to the packages above.

export { reworded, UserError } from './errors.js';
export type { Observer, WorkEvent } from './events.js';
export { grouped } from './group.js';
export { checked, isJsonObject, type Json, type JsonObject, readJson } from './json.js';
export { type JsonLine, readJsonLines } from './json-lines.js';
export { lockFolder } from './lock.js';
export { didYouMean, nearestNames } from './nearest-name.js';
export { permutation, RandomStream } from './random.js';
export { alignedTable } from './table.js';
export { version } from './version.js';
export { makeFolder, writeText } from './write.js';
